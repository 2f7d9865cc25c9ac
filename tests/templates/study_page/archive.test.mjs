// node --test tests/templates/study_page; tests/templates/test_study_page.py runs it.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { load } from './load.mjs';

const { Archive, readGrowing, ReadError } = await load('study-archive.js');
const ROOT = 'https://images.example.org/dicomweb';
const { fetch } = globalThis;
globalThis.document = { baseURI: 'https://images.example.org/' };
afterEach(() => Object.assign(globalThis, { fetch }));

/** Answers every request with these pieces, and then ends, or breaks off. */
function answer(pieces, broken = false) {
  const texts = pieces.map((piece) => new TextEncoder().encode(piece));
  globalThis.fetch = async () =>
    new Response(
      new ReadableStream({
        pull: (stream) => {
          if (texts.length) stream.enqueue(texts.shift());
          else if (broken) stream.error(new TypeError('network error'));
          else stream.close();
        },
      }),
    );
}

test('bulk data lie in the archive', () => {
  const archive = new Archive({ root: ROOT, hasViewer: false });
  const at = (uri) => archive.bulkUrl(uri, `${ROOT}/studies/1.2/series/1.3/instances/1.4/metadata`);
  assert.equal(at('bulkdata/00420011'), `${ROOT}/studies/1.2/series/1.3/instances/1.4/bulkdata/00420011`);
  for (const uri of ['javascript:alert(1)', '//evil.example/x', 'https://evil.example/dicomweb/x', '../../../../../../../x', '/x',
    '%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/x', 'data:text/html,x', 'blob:https://images.example.org/1', 'https://[', 'https://a:99999/',
  ]) assert.equal(at(uri), null, uri); // prettier-ignore
});

test('a list is taken as it grows', async () => {
  answer(['[{"a":1},{"a"', ':2}', ',{"a":3}]']);
  const taken = [];
  await readGrowing('x', (items) => taken.push(...items));
  assert.deepEqual(taken, [{ a: 1 }, { a: 2 }, { a: 3 }]);
});

test('what is no list, and what breaks off, is told', async () => {
  for (const text of ['', '{}', 'null', '[1', '[{}]x', '[{} {}]']) {
    answer([text]);
    await assert.rejects(readGrowing('x', () => {}), (error) => error instanceof ReadError && /no list in JSON/.test(error.message), text);
  }
  answer(['[{}'], true);
  await assert.rejects(readGrowing('x', () => {}), (error) => error instanceof ReadError && /connection broke/.test(error.message));
});

test('a fault of the page itself is not called one of the connection', async () => {
  answer(['[{}]']);
  const fault = new TypeError('x is not a function');
  await assert.rejects(readGrowing('x', () => { throw fault; }), (error) => error === fault); // prettier-ignore
});
