// @ts-check
/**
 * The container of a WebM video: frames that are encoded already, each with its time.
 * https://www.webmproject.org/docs/container/, https://www.rfc-editor.org/rfc/rfc9559
 */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/**
 * An encoded frame; its time and duration are whole milliseconds.
 * @typedef {{data: Bytes, time: number, duration: number, key: boolean}} EncodedFrame
 */

const ID = {
  ebml: 0x1a45dfa3,
  ebmlVersion: 0x4286,
  ebmlReadVersion: 0x42f7,
  ebmlMaxIdLength: 0x42f2,
  ebmlMaxSizeLength: 0x42f3,
  docType: 0x4282,
  docTypeVersion: 0x4287,
  docTypeReadVersion: 0x4285,
  segment: 0x18538067,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  duration: 0x4489,
  muxingApp: 0x4d80,
  writingApp: 0x5741,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  trackNumber: 0xd7,
  trackUid: 0x73c5,
  trackType: 0x83,
  flagLacing: 0x9c,
  codecId: 0x86,
  video: 0xe0,
  pixelWidth: 0xb0,
  pixelHeight: 0xba,
  cluster: 0x1f43b675,
  timestamp: 0xe7,
  blockGroup: 0xa0,
  block: 0xa1,
  blockDuration: 0x9b,
  referenceBlock: 0xfb,
  cues: 0x1c53bb6b,
  cuePoint: 0xbb,
  cueTime: 0xb3,
  cueTrackPositions: 0xb7,
  cueTrack: 0xf7,
  cueClusterPosition: 0xf1,
};

/**
 * Returns a video.
 *
 * @param {Object} video
 * @param {string} video.codec `V_VP8` or `V_VP9`.
 * @param {number} video.width
 * @param {number} video.height
 * @param {EncodedFrame[]} video.frames one at least, from time 0 on, the first one a key frame.
 */
export function webm({ codec, width, height, frames }) {
  const last = frames[frames.length - 1];
  const info = element(ID.info, [
    number(ID.timestampScale, 1_000_000),
    float(ID.duration, last.time + last.duration),
    text(ID.muxingApp, "keras_attnviz"),
    text(ID.writingApp, "keras_attnviz"),
  ]);
  const track = element(ID.trackEntry, [
    number(ID.trackNumber, 1),
    number(ID.trackUid, 1),
    number(ID.trackType, 1),
    number(ID.flagLacing, 0),
    text(ID.codecId, codec),
    element(ID.video, [number(ID.pixelWidth, width), number(ID.pixelHeight, height)]),
  ]);
  const head = [info, element(ID.tracks, [track])];
  const groups = clustered(frames);
  const clusters = groups.map(cluster);
  /** @type {number[]} */
  const positions = [];
  clusters.reduce((position, { length }) => {
    positions.push(position);
    return position + length;
  }, head[0].length + head[1].length);
  const cues = element(
    ID.cues,
    groups.map(([first], index) => cue(first.time, positions[index])),
  );
  return new Blob([header(), element(ID.segment, [...head, ...clusters, cues])], {
    type: "video/webm",
  });
}

function header() {
  return element(ID.ebml, [
    number(ID.ebmlVersion, 1),
    number(ID.ebmlReadVersion, 1),
    number(ID.ebmlMaxIdLength, 4),
    number(ID.ebmlMaxSizeLength, 8),
    text(ID.docType, "webm"),
    number(ID.docTypeVersion, 4),
    number(ID.docTypeReadVersion, 2),
  ]);
}

/**
 * A cluster begins at every key frame, and where a block's time would not fit into 16 bits.
 *
 * @param {EncodedFrame[]} frames
 */
function clustered(frames) {
  /** @type {EncodedFrame[]} */
  let group = [];
  const groups = [];
  for (const frame of frames) {
    if (!group.length || frame.key || frame.time - group[0].time > 32767) {
      group = [];
      groups.push(group);
    }
    group.push(frame);
  }
  return groups;
}

/** @param {EncodedFrame[]} frames */
function cluster(frames) {
  const start = frames[0].time;
  const blocks = frames.map((frame, index) => {
    const time = frame.time - start;
    const block = joined([new Uint8Array([0x81, time >> 8, time & 0xff, 0]), frame.data]);
    return element(ID.blockGroup, [
      element(ID.block, [block]),
      number(ID.blockDuration, frame.duration),
      ...(frame.key ? [] : [element(ID.referenceBlock, [reference(frames, index)])]),
    ]);
  });
  return element(ID.cluster, [number(ID.timestamp, start), ...blocks]);
}

/**
 * Returns how long before this frame the one is that it is predicted from: the previous one.
 *
 * @param {EncodedFrame[]} frames
 * @param {number} index
 */
function reference(frames, index) {
  const before = index > 0 ? frames[index - 1].time - frames[index].time : -1;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, before);
  return bytes;
}

/**
 * @param {number} time
 * @param {number} position of the cluster.
 */
function cue(time, position) {
  const positions = [number(ID.cueTrack, 1), number(ID.cueClusterPosition, position)];
  return element(ID.cuePoint, [number(ID.cueTime, time), element(ID.cueTrackPositions, positions)]);
}

/**
 * @param {number} id
 * @param {Bytes[]} parts
 */
function element(id, parts) {
  const content = joined(parts);
  return joined([bigEndian(id), size(content.length), content]);
}

/**
 * @param {number} id
 * @param {number} value
 */
function number(id, value) {
  return element(id, [bigEndian(value)]);
}

/**
 * @param {number} id
 * @param {number} value
 */
function float(id, value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return element(id, [bytes]);
}

/**
 * @param {number} id
 * @param {string} value
 */
function text(id, value) {
  return element(id, [new TextEncoder().encode(value)]);
}

/**
 * Returns a size in eight bytes: the marker bit, then 56 bits of which 32 are used.
 *
 * @param {number} length
 */
function size(length) {
  const bytes = new Uint8Array(8);
  bytes[0] = 1;
  new DataView(bytes.buffer).setUint32(4, length);
  return bytes;
}

/** @param {number} value */
function bigEndian(value) {
  const bytes = [];
  for (let rest = value; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) {
    bytes.unshift(rest % 256);
  }
  return new Uint8Array(bytes);
}

/** @param {Bytes[]} parts */
function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  parts.reduce((at, part) => {
    bytes.set(part, at);
    return at + part.length;
  }, 0);
  return bytes;
}
