// CloudFront Function (JavaScript runtime 2.0) on viewer requests: from a URL of the service to a key of the bucket.
//
// It lets nothing through but keys of docs/format.md and of the site beside the archive, so that a request can neither
// list the bucket nor name anything else in it, and answers what a bucket cannot: preflights, where the service is, and a
// 404 that any origin can read. It never joins what the viewer wrote into another path: a signed policy (stillframe grant) that covers the URL as it was sent covers the
// object that is served. Query strings are left to CloudFront, which takes its signatures out of them.
//
// infra/embed.py puts this file into archive.yaml, where CloudFormation fills in the four values that follow.
const SERVICE_PATH = '${ServicePath}';
const KEY_PREFIX = '${KeyPrefix}';
const ORIGINS = '${Origins}'.split(',');
const CREDENTIALS = '${Credentials}' === 'true';

function handler(event) {
  const request = event.request;
  const tls = request.headers['cloudfront-viewer-tls']; // such as TLSv1.3:TLS_AES_128_GCM_SHA256:fullHandshake
  if (tls && !/^TLSv1\.[2-9]/.test(tls.value)) return answer(request, 403, 'Forbidden: TLS 1.2 or newer');
  if (request.method === 'OPTIONS') return answer(request, 204, 'No Content');
  if (request.method !== 'GET' && request.method !== 'HEAD') return answer(request, 405, 'Method Not Allowed');
  const object = findObject(request.uri, SERVICE_PATH);
  const found = object ? object.key : findSite(request.uri, SERVICE_PATH);
  if (!object && found === 'root') return answer(request, 200, serviceLine(SERVICE_PATH));
  if (!object && found === 'service.js') return answer(request, 200, serviceScript(SERVICE_PATH), 'text/javascript');
  const key = found && (KEY_PREFIX ? KEY_PREFIX + '/' : '') + found;
  if (!key || key.length > MAX_KEY) return answer(request, 404, 'Not Found');
  request.uri = '/' + key;
  return request;
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

// A response of the function itself. The response headers policy is for those of the bucket; these say the same.
function answer(request, status, text, type) {
  const headers = {
    'access-control-expose-headers': { value: 'Content-Range, Content-Length, ETag, Accept-Ranges' },
    'cache-control': { value: status === 200 ? 'no-cache' : 'no-store' },
    'cross-origin-resource-policy': { value: 'cross-origin' },
    'strict-transport-security': { value: 'max-age=31536000' },
    'x-content-type-options': { value: 'nosniff' },
  };
  const origin = allowedOrigin(request);
  if (origin) headers['access-control-allow-origin'] = { value: origin };
  if (origin && CREDENTIALS) headers['access-control-allow-credentials'] = { value: 'true' };
  if (origin !== '*') headers['vary'] = { value: 'Origin' };
  if (status === 204) {
    headers['access-control-allow-methods'] = { value: 'GET, HEAD, OPTIONS' };
    headers['access-control-allow-headers'] = { value: allowedHeaders(request) };
    headers['access-control-max-age'] = { value: '86400' };
  }
  if (status === 204 || status === 405) headers['allow'] = { value: 'GET, HEAD, OPTIONS' };
  const response = { statusCode: status, statusDescription: status === 200 ? 'OK' : text, headers: headers };
  if (status !== 204) {
    headers['content-type'] = { value: (type || 'text/plain') + '; charset=utf-8' };
    response.body = text + '\n';
  }
  return response;
}

function allowedOrigin(request) {
  if (ORIGINS.indexOf('*') !== -1) return '*';
  const origin = request.headers.origin ? request.headers.origin.value : '';
  return ORIGINS.indexOf(origin) !== -1 ? origin : '';
}

// With credentials a browser takes * for a header of that name (Fetch standard), so those asked for are named.
function allowedHeaders(request) {
  if (!CREDENTIALS) return '*';
  const asked = request.headers['access-control-request-headers'];
  return asked && /^[0-9A-Za-z ,_-]{1,512}$/.test(asked.value) ? asked.value : 'Accept, Range, If-None-Match, If-Range';
}
