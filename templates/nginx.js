// For nginx's njs module (0.7.7 or newer), which nginx.conf.j2 loads it into: the headers of every answer, and the
// media type of a frame or a rendered object by its first bytes, as layout.py's media_type has it. Everything else has
// a type by its path alone.
import fs from 'fs';

const HEAD_BYTES = 512;
const METHODS = 'GET, HEAD, OPTIONS';
const JPHC = 'image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202';
const CACHE = { list: 'no-cache', fixed: 'public, max-age=31536000, immutable' };
const MULTIPART = /^--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\nContent-Type: ([^\r\n]{1,200})\r\n/;

// The headers of an answer, errors among them. Not nginx's add_header: that adds all of them twice to a 416, and the
// cache class of the object too.
function setHeaders(request) {
  const headers = request.headersOut;
  headers['Access-Control-Allow-Origin'] = '*';
  headers['Access-Control-Expose-Headers'] = 'Content-Range, Content-Length, ETag, Accept-Ranges';
  headers['Cross-Origin-Resource-Policy'] = 'cross-origin';
  headers['X-Content-Type-Options'] = 'nosniff';
  if (request.method === 'OPTIONS') {
    headers['Access-Control-Allow-Methods'] = METHODS;
    headers['Access-Control-Allow-Headers'] = '*';
    headers['Access-Control-Max-Age'] = '86400';
  }
  if (request.method === 'OPTIONS' || request.status === 405) headers['Allow'] = METHODS;
  if (request.status >= 400) {
    headers['Cache-Control'] = 'no-store';
    delete headers['Location'];
    return;
  }
  const cache = CACHE[request.variables.stillframe_class];
  if (cache) headers['Cache-Control'] = cache;
  const type = request.variables.stillframe_content_type;
  if (type && request.status !== 304) headers['Content-Type'] = type;
}

// The variable $stillframe_type: '' if the file is none that may be published, 'absent' if there is no such file.
function mediaType(request) {
  const path = request.variables.request_filename;
  const head = readHead(path);
  if (head === null) return 'absent';
  return path.endsWith('/rendered') ? renderedType(head) : frameType(head);
}

// The first bytes as text, a character a byte; null if it is not a file that can be read.
function readHead(path) {
  let file = null;
  try {
    if (!fs.lstatSync(path).isFile()) return null; // opening a pipe would hold the worker
    const buffer = Buffer.alloc(HEAD_BYTES);
    file = fs.openSync(path, 'r');
    const count = fs.readSync(file, buffer, 0, HEAD_BYTES, 0);
    let text = '';
    for (let i = 0; i < count; i++) text += String.fromCharCode(buffer[i]);
    return text;
  } catch (error) {
    return null; // nginx meets the same when it opens the file, and answers 403 or 404
  } finally {
    if (file !== null) fs.closeSync(file);
  }
}

function frameType(head) {
  if (head.startsWith('\xff\x4f')) return JPHC;
  const found = MULTIPART.exec(head);
  return found ? `multipart/related; type="${found[2].split(';')[0].trim()}"; boundary=${found[1]}` : '';
}

function renderedType(head) {
  if (head.startsWith('\xff\xd8')) return 'image/jpeg';
  if (head.slice(4, 8) === 'ftyp') return 'video/mp4';
  if (hasPackets(head, 0, 188) || hasPackets(head, 4, 192)) return 'video/mp2t';
  return streamType(head) || (head.includes('%PDF-') ? 'application/pdf' : '');
}

// Packets of a transport stream follow each other (ISO/IEC 13818-1).
function hasPackets(head, place, size) {
  return head[place] === 'G' && head[place + size] === 'G';
}

// Streams that begin with a start code: MPEG-2, HEVC, AVC.
function streamType(head) {
  const start = /^\x00{2,}\x01([^])([^])/.exec(head);
  if (!start) return '';
  const code = start[1].charCodeAt(0);
  if (code === 0xba || code === 0xb3) return 'video/mpeg';
  if ((code === 0x40 || code === 0x42 || code === 0x46) && start[2] === '\x01') return 'video/H265';
  const kind = code & 0x9f;
  return kind === 7 || kind === 9 || code === 6 ? 'video/H264' : '';
}

export default { setHeaders, mediaType, readHead, frameType, renderedType };
