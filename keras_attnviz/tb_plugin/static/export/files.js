// @ts-check
/** Files for a person to keep. */

/**
 * Gives the person a file to keep.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download reads the address after this function has returned.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Saves a canvas as PNG.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} name of the file.
 */
export async function savePng(canvas, name) {
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error(`A picture of ${canvas.width}x${canvas.height} can't be saved.`);
  saveBlob(blob, name);
}
