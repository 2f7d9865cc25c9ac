// node --test tests/infra/edge/edge.test.mjs; tests/infra/test_edge.py runs it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadHandler, makeEvent } from './load.mjs';

const REQUESTS = JSON.parse(readFileSync(new URL('requests.json', import.meta.url), 'utf8'));
const VIEWER = 'https://viewer.example.org';

function assertReadable(response, origin = '*') {
  const { headers } = response;
  assert.equal(headers['access-control-allow-origin'].value, origin);
  assert.equal(headers['access-control-expose-headers'].value, 'Content-Range, Content-Length, ETag, Accept-Ranges');
  assert.equal(headers['cross-origin-resource-policy'].value, 'cross-origin');
  assert.equal(headers['x-content-type-options'].value, 'nosniff');
  assert.equal(headers['cache-control'].value, 'no-store');
}

for (const { client, meaning, url, method, headers, key, status } of REQUESTS) {
  test(`${client}: ${meaning}: ${method ?? 'GET'} ${url}`, () => {
    const event = makeEvent(url, { method, headers });
    const given = structuredClone(event.request);
    const answer = loadHandler()(event);
    if (status) {
      assert.equal(answer.statusCode, status);
      assertReadable(answer);
    } else {
      assert.deepEqual(structuredClone(answer), { ...given, uri: `/archive/${key}` });
    }
  });
}

test('a preflight is answered, wherever it goes', () => {
  for (const url of ['/dicomweb/studies', '/', '/nowhere']) {
    const answer = loadHandler()(makeEvent(url, { method: 'OPTIONS', headers: { Origin: VIEWER } }));
    assert.equal(answer.statusCode, 204);
    assert.equal(answer.body, undefined);
    assert.equal(answer.headers['access-control-allow-methods'].value, 'GET, HEAD, OPTIONS');
    assert.equal(answer.headers['access-control-allow-headers'].value, '*');
    assert.equal(answer.headers['access-control-max-age'].value, '86400');
    assert.equal(answer.headers.vary, undefined);
    assertReadable(answer);
  }
});

test('named origins are told apart', () => {
  const handler = loadHandler({ Origins: `https://other.example.org,${VIEWER}` });
  const allowed = handler(makeEvent('/nowhere', { headers: { Origin: VIEWER } }));
  assertReadable(allowed, VIEWER);
  assert.equal(allowed.headers.vary.value, 'Origin');
  assert.equal(allowed.headers['access-control-allow-credentials'], undefined);
  for (const headers of [{}, { Origin: 'https://evil.example' }, { Origin: 'https://viewer.example.org.evil.example' }, { Origin: '' }]) {
    const refused = handler(makeEvent('/nowhere', { headers }));
    assert.equal(refused.statusCode, 404);
    assert.equal(refused.headers['access-control-allow-origin'], undefined);
    assert.equal(refused.headers.vary.value, 'Origin');
  }
});

test('with credentials the headers that a preflight asks for are named', () => {
  const handler = loadHandler({ Origins: VIEWER, Credentials: 'true' });
  const ask = (asked) =>
    handler(makeEvent('/dicomweb/studies', { method: 'OPTIONS', headers: { Origin: VIEWER, ...asked } })).headers;
  const named = ask({ 'Access-Control-Request-Headers': 'accept, range' });
  assert.equal(named['access-control-allow-headers'].value, 'accept, range');
  assert.equal(named['access-control-allow-credentials'].value, 'true');
  for (const asked of [{}, { 'Access-Control-Request-Headers': 'x\r\nSet-Cookie: a=b' }, { 'Access-Control-Request-Headers': 'a'.repeat(9999) }]) {
    assert.equal(ask(asked)['access-control-allow-headers'].value, 'Accept, Range, If-None-Match, If-Range');
  }
});

test('viewers by old versions of TLS get nothing', () => {
  const ask = (tls, method = 'GET') =>
    loadHandler()(makeEvent('/dicomweb/studies', { method, headers: tls === null ? {} : { 'CloudFront-Viewer-TLS': tls } }));
  for (const tls of [null, 'TLSv1.2:ECDHE-RSA-AES128-GCM-SHA256:fullHandshake', 'TLSv1.3:TLS_AES_128_GCM_SHA256:sessionResumed']) {
    assert.equal(ask(tls).uri, '/archive/studies');
  }
  for (const tls of ['TLSv1:AES128-SHA:fullHandshake', 'TLSv1.0:AES128-SHA:x', 'TLSv1.1:AES128-SHA:fullHandshake', 'SSLv3:x:y', '']) {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      assert.equal(ask(tls, method).statusCode, 403);
      assertReadable(ask(tls, method));
    }
  }
});

test('the service may be at the root of the host, and of the bucket', () => {
  const handler = loadHandler({ ServicePath: '', KeyPrefix: '' });
  assert.equal(handler(makeEvent('/studies/1.2/series/')).uri, '/studies/1.2/series');
  for (const url of ['//', '', '/dicomweb/studies', '/dicomweb', 'studies']) assert.equal(handler(makeEvent(url)).statusCode, 404);
  assert.equal(handler(makeEvent('/')).uri, '/index.html');
  assert.equal(handler(makeEvent('/service.js')).body, serviceScript('/'));
  const deep = loadHandler({ ServicePath: '/a/b', KeyPrefix: 'x/y.z' });
  assert.equal(deep(makeEvent('/a/b/studies')).uri, '/x/y.z/studies');
  assert.equal(deep(makeEvent('/a/studies')).statusCode, 404);
});

const serviceScript = (path) =>
  `window.stillframe = { root: new URL("${path}", document.currentScript.src).href.slice(0, -1) };\n`;

test('the site lies beside the service, under the same prefix', () => {
  const handler = loadHandler();
  assert.equal(handler(makeEvent('/')).uri, '/archive/index.html');
  assert.equal(handler(makeEvent('/viewer?StudyInstanceUIDs=1.2.3')).uri, '/archive/viewer');
  assert.equal(handler(makeEvent('/ohif/0123456789abcdef/app.bundle.js')).uri, '/archive/ohif/0123456789abcdef/app.bundle.js');
  for (const url of ['/viewer/', '/%76iewer', '/ohif/0123456789abcdef/app.bundle.js.gz', '/ohif/', '/archive/viewer', '/pending/0']) {
    assert.equal(handler(makeEvent(url)).statusCode, 404);
  }
});

test('the function says itself where the service is', () => {
  for (const method of ['GET', 'HEAD']) {
    const answer = loadHandler()(makeEvent('/service.js?v=1', { method, headers: { Origin: VIEWER } }));
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.statusDescription, 'OK');
    assert.equal(answer.headers['content-type'].value, 'text/javascript; charset=utf-8');
    assert.equal(answer.headers['cache-control'].value, 'no-cache');
    assert.equal(answer.headers['access-control-allow-origin'].value, '*');
    assert.equal(answer.body, serviceScript('/dicomweb/'));
  }
  for (const url of ['/dicomweb', '/dicomweb/', '/dicomweb?a=b']) {
    const answer = loadHandler()(makeEvent(url));
    assert.equal(answer.statusCode, 200);
    assert.equal(answer.headers['content-type'].value, 'text/plain; charset=utf-8');
    assert.equal(answer.body, 'A DICOMweb service. Its list of studies is at /dicomweb/studies\n');
  }
});

test('long paths are refused, the longest key is not', () => {
  const handler = loadHandler();
  const uid = `1.${'2'.repeat(62)}`;
  const instance = `studies/${uid}/series/${uid}/instances/${uid}`;
  const room = 1024 - 'archive/'.length - instance.length - '/bulkdata/'.length;
  const longest = `${instance}/bulkdata/${'A'.repeat(room)}`;
  assert.equal(handler(makeEvent(`/dicomweb/${longest}`)).uri, `/archive/${longest}`);
  assert.equal(handler(makeEvent(`/dicomweb/${longest}A`)).statusCode, 404);
  assert.equal(handler(makeEvent(`/dicomweb/studies/${uid}0/metadata`)).statusCode, 404);
  assert.equal(handler(makeEvent(`/dicomweb/${'A'.repeat(10_000)}`)).statusCode, 404);
  assert.equal(handler(makeEvent(`/dicomweb/studies${'/'.repeat(10_000)}`)).statusCode, 404);
  assert.equal(handler(makeEvent(`/dicomweb/studies/${'%2e'.repeat(3_500)}`)).statusCode, 404);
  assert.equal(handler(makeEvent(`/dicomweb/studies/${'1.'.repeat(4_000)}`)).statusCode, 404);
});

test('what the function returns is what it was given, but for the path', () => {
  const event = makeEvent('/dicomweb/studies?Policy=p&Signature=s&Key-Pair-Id=k', { headers: { Range: 'bytes=0-9' } });
  const answer = loadHandler()(event);
  assert.equal(answer, event.request);
  assert.equal(answer.querystring.Signature.value, 's');
  assert.equal(answer.headers.range.value, 'bytes=0-9');
});

test('a path below a study leads nowhere else, so a grant for one study opens that alone', () => {
  const handler = loadHandler({ KeyPrefix: '' });
  const pieces = ['..', '.', '/', '%2e', '%2E%2e', '%2f', '%5c', '\\', '//', '?', '#', '%00', '%25', '%252e', ';', '1.2.34',
    'studies', 'metadata', 'series', 'instances', 'frames', '1', 'q83vEjRWeJCrze8SNFZ4kA', '%c0%ae', '%e3%82%a2', '/1.2.4', '/series/1'];
  let state = 1;
  const pick = () => pieces[(state = (state * 48271) % 2147483647) % pieces.length];
  let served = 0;
  for (let i = 0; i < 50_000; i++) {
    const length = i % 7;
    let rest = '';
    for (let j = 0; j < length; j++) rest += pick();
    const { uri } = handler(makeEvent(`/dicomweb/studies/1.2.3/${rest}`));
    if (uri === undefined) continue;
    served += 1;
    assert.ok(uri.startsWith('/studies/1.2.3/') && !uri.includes('..'), rest);
  }
  assert.ok(served > 100);
});
