// For nginx's njs module (0.7.7 or newer), which nginx.conf.j2 loads it into: which object a URL names as it was sent,
// the headers of every answer, and the media type of a frame or a rendered object by its first bytes, as layout.py's
// media_type has it. Everything else has a type by its path alone.
import fs from 'fs';

const HEAD_BYTES = 512;
const METHODS = 'GET, HEAD, OPTIONS';
const JPHC = 'image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202';
const CACHE = { list: 'no-cache', fixed: 'public, max-age=31536000, immutable' };
const MULTIPART = /^--([0-9A-Za-z'()+_,./:=?-]{1,70})\r\nContent-Type: ([^\r\n]{1,200})\r\n/;

const MAX_TARGET = 32768;
const TARGET = /^[A-Z]+ ((\/[!->@-~]*)(?:\?[!-~]*)?) HTTP\/[1-9]/; // a path and a query, of visible ASCII characters

// The variable $stillframe_place: the location below /.stillframe/ that answers, and the key of what it sends. It follows
// from the request line, because in $uri nginx has decoded and resolved what the client sent.
function findPlace(request) {
  if (request.internal) return 'missing'; // a request that nginx refuses, malformed or too long
  if (request.method === 'OPTIONS') return 'preflight';
  if (request.method !== 'GET' && request.method !== 'HEAD') return 'refused';
  const found = TARGET.exec(request.variables.request);
  if (!found || found[1].length > MAX_TARGET) return 'missing';
  const path = found[2];
  const root = request.variables.stillframe_root;
  const object = findObject(path, root);
  if (object && object.key === 'studies') return 'studies';
  if (object) return `${object.kind}/${object.key}`;
  const key = findSite(path, root);
  if (key === 'root') return 'root';
  if (key === 'service.js') return 'service';
  return key ? `${key.startsWith('ohif/') ? 'asset' : 'page'}/${key}` : 'missing';
}

// The variable $stillframe_service: the script that tells the site's pages where the service is.
function service(request) {
  const url = request.variables.stillframe_service_url;
  return url ? `window.stillframe = { root: ${JSON.stringify(url)} };` : serviceScript(request.variables.stillframe_root);
}

// The variable $stillframe_line: what the service root says of itself.
function line(request) {
  return serviceLine(request.variables.stillframe_root);
}

// Keys, begin: infra/embed.py copies what follows into templates/nginx.js.
const MAX_PATH = 4096; // a key has 1024 characters at most, percent-encoded three times as many
const MAX_KEY = 1024; // of Amazon S3
const UID = /^[0-9]+(?:\.[0-9]+)*$/;
const NUMBER = /^[1-9][0-9]{0,9}$/;
const BULK_PATH = /^[0-9A-Za-z]+(?:\/[0-9A-Za-z]+)*$/;
const ROOT_NAME = /^[0-9A-Za-z_-]{16,128}$/; // of a service root of one study

// The object that a path names as it was sent, without query: its key and its kind; null for whatever is no object of
// the service. stillframe.hosting.urls is the same in Python.
function findObject(path, servicePath) {
  if (path.length > MAX_PATH || /%2f/i.test(path)) return null;
  let decoded = path;
  if (path.indexOf('%') !== -1) {
    try {
      decoded = decodeURIComponent(path);
    } catch (error) {
      return null; // not percent-encoded UTF-8
    }
  }
  if (decoded.indexOf(servicePath + '/') !== 0) return null;
  const key = decoded.slice(servicePath.length + 1).replace(/\/$/, '');
  if (key.length > MAX_KEY) return null;
  const parts = key.split('/');
  const kind = kindOf(ROOT_NAME.test(parts[0]) ? parts.slice(1) : parts);
  return kind ? { key: key, kind: kind } : null;
}

// What object of docs/format.md the parts of a key name; '' for none. An index is a list whose key begins others.
function kindOf(parts) {
  if (parts[0] !== 'studies') return '';
  if (parts.length === 1) return 'index';
  if (!isUid(parts[1])) return '';
  let rest = parts.slice(2);
  let series = false;
  let instance = false;
  if (rest.length > 1 && rest[0] === 'series') {
    if (!isUid(rest[1])) return '';
    series = true;
    rest = rest.slice(2);
    if (rest.length > 1 && rest[0] === 'instances') {
      if (!isUid(rest[1])) return '';
      instance = true;
      rest = rest.slice(2);
    }
  }
  return kindOfLeaf(rest, series, instance);
}

function kindOfLeaf(rest, series, instance) {
  if (rest.length === 0) return instance ? 'instance' : '';
  const numbered = instance && NUMBER.test(rest[rest.length - 1]);
  switch (rest.length === 1 ? rest[0] : rest[0] + '/') {
    case 'metadata':
      return 'list';
    case 'thumbnail':
      return 'thumbnail';
    case 'rendered':
      return instance ? 'rendered' : '';
    case 'series':
      return series ? '' : 'index';
    case 'instances':
      return instance ? '' : series ? 'index' : 'list';
    case 'frame-index':
      return series && !instance ? 'frame-index' : '';
    case 'frames/':
      return numbered && rest.length === 2 ? 'frame' : '';
    case 'reduced/':
      return numbered && rest.length === 4 && NUMBER.test(rest[1]) && rest[2] === 'frames' ? 'frame' : '';
    case 'bulkdata/':
      return instance && BULK_PATH.test(rest.slice(1).join('/')) ? 'bulkdata' : '';
    default:
      return '';
  }
}

function isUid(text) {
  return text.length <= 64 && UID.test(text);
}

// The site beside the service (stillframe site): stillframe.hosting.site_keys is the same in Python. No path is decoded.
const SITE = new RegExp(
  '^/(?:index[.]html|study-[a-z]+[.](?:css|js)|(?:app-config|service|stillframe)[.]js|basic|basic-test|dev|' +
    'dynamic-volume|local|localbasic|microscopy|notfoundserver|notfoundstudy|segmentation|tmtv|usAnnotation|viewer|' +
    'worklist|ohif/[0-9a-f]{16}(?:/[0-9A-Za-z_@+~,=-][0-9A-Za-z_@+~,=.-]*)+)$'
);
const MAX_SITE_KEY = 512;

// The key of a file of the site that a path names as it was sent; 'root' for the service root, '' for nothing.
function findSite(path, servicePath) {
  if (servicePath && (path === servicePath || path === servicePath + '/')) return 'root';
  if (path === '/') return 'index.html';
  return path.length <= MAX_SITE_KEY + 1 && SITE.test(path) && !/[.]gz$/.test(path) ? path.slice(1) : '';
}

function serviceLine(servicePath) {
  return 'A DICOMweb service. Its list of studies is at ' + servicePath + '/studies';
}

// The script that tells the site's pages where the service is.
function serviceScript(servicePath) {
  const url = 'new URL("' + servicePath + '/", document.currentScript.src).href';
  return 'window.stillframe = { root: ' + url + '.slice(0, -1) };';
}
// Keys, end.

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

export default { findPlace, service, line, setHeaders, mediaType, readHead, frameType, renderedType };
