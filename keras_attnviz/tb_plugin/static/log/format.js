// @ts-check
/** Packed records to arrays; docs/log-format.md has the format. */

const MAGIC = "KATN";
/** @type {Object<string, typeof Uint8Array | typeof Int32Array | typeof Float32Array>} */
const TYPES = { uint8: Uint8Array, int32: Int32Array, float32: Float32Array };
const SQUARES = Float32Array.from({ length: 256 }, (_, code) => (code / 255) ** 2);

/** @typedef {{data: Uint8Array | Int32Array | Float32Array, shape: number[]}} PackedArray */
/** @typedef {Object<string, PackedArray>} Arrays */
/** @typedef {{fields: Object<string, unknown>, arrays: Arrays}} PackedRecord */

/**
 * Returns one record.
 *
 * @param {ArrayBuffer} buffer that holds the record alone.
 * @returns {PackedRecord}
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
  /** @type {Arrays} */
  const arrays = {};
  /** @type {[string, {dtype: string, shape: number[], offset: number}][]} */
  const listed = Object.entries(entries);
  for (const [name, { dtype, shape, offset }] of listed) {
    const count = shape.reduce((product, size) => product * size, 1);
    arrays[name] = { data: new TYPES[dtype](buffer, begin + offset, count), shape };
  }
  return { fields, arrays };
}

/**
 * Returns the parts of a framed answer, each an ArrayBuffer of its own.
 *
 * @param {ArrayBuffer} buffer
 * @returns {ArrayBuffer[]}
 */
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
 * @param {PackedArray} codes uint8 `[..., cells]`
 * @param {PackedArray} highest float32, of each row.
 * @param {number} row
 * @param {Float32Array} [out] to which the row is added.
 * @returns {Float32Array} `[cells]`
 */
export function dequantizeRow(codes, highest, row, out) {
  const cells = codes.shape[codes.shape.length - 1];
  const values = out || new Float32Array(cells);
  const scale = highest.data[row];
  const begin = row * cells;
  for (let i = 0; i < cells; i += 1) values[i] += scale * SQUARES[codes.data[begin + i]];
  return values;
}

/**
 * Returns the mean of rows `[begin, end)` of a quantized array.
 *
 * @param {PackedArray} codes uint8 `[..., cells]`
 * @param {PackedArray} highest float32, of each row.
 * @param {number} begin
 * @param {number} end
 * @returns {Float32Array} `[cells]`
 */
export function dequantizeMean(codes, highest, begin, end) {
  const values = new Float32Array(codes.shape[codes.shape.length - 1]);
  for (let row = begin; row < end; row += 1) dequantizeRow(codes, highest, row, values);
  for (let i = 0; i < values.length; i += 1) values[i] /= end - begin;
  return values;
}
