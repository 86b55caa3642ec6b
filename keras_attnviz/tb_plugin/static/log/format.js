/** Packed records to arrays; docs/log-format.md has the format. */

const MAGIC = "KATN";
const TYPES = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
const SQUARES = Float32Array.from({ length: 256 }, (_, code) => (code / 255) ** 2);

/**
 * Returns `{fields, arrays}` of one record; each array as `{data, shape}`.
 *
 * @param {ArrayBuffer} buffer that holds the record alone.
 */
export function unpack(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(0, 4)) !== MAGIC) {
    throw new Error("These bytes are no packed record.");
  }
  const begin = 8 + new DataView(buffer).getUint32(4, true);
  if (begin > bytes.length) throw new Error("A packed record ends within its header.");
  const { arrays: entries, ...fields } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, begin)),
  );
  const arrays = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(entries)) {
    const count = shape.reduce((product, size) => product * size, 1);
    arrays[name] = { data: new TYPES[dtype](buffer, begin + offset, count), shape };
  }
  return { fields, arrays };
}

/** Returns the parts of a framed answer, each an ArrayBuffer of its own. */
export function splitFrames(buffer) {
  const view = new DataView(buffer);
  const parts = [];
  let place = 0;
  while (place < buffer.byteLength) {
    const length = view.getUint32(place, true);
    place += 4;
    if (place + length > buffer.byteLength) throw new Error("A framed answer was cut off.");
    parts.push(buffer.slice(place, place + length));
    place += length;
  }
  return parts;
}

/**
 * Returns row `row` of a quantized array in times uniform: `highest * (code / 255)^2`.
 *
 * @param {{data: Uint8Array, shape: number[]}} codes `[..., cells]`.
 * @param {{data: Float32Array}} highest of each row.
 * @param {number} row
 * @param {Float32Array} [out] to which the row is added.
 */
export function dequantizeRow(codes, highest, row, out) {
  const cells = codes.shape[codes.shape.length - 1];
  const values = out || new Float32Array(cells);
  const scale = highest.data[row];
  const begin = row * cells;
  for (let i = 0; i < cells; i += 1) values[i] += scale * SQUARES[codes.data[begin + i]];
  return values;
}

/** Returns the mean of rows `[begin, end)` of a quantized array. */
export function dequantizeMean(codes, highest, begin, end) {
  const values = new Float32Array(codes.shape[codes.shape.length - 1]);
  for (let row = begin; row < end; row += 1) dequantizeRow(codes, highest, row, values);
  for (let i = 0; i < values.length; i += 1) values[i] /= end - begin;
  return values;
}
