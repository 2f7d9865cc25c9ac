// viewer-start.js in a page of its own: what is fetched and run, and when.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import vm from 'node:vm';

const TEXT = readFileSync(path.join(import.meta.dirname, '..', '..', 'templates', 'viewer-start.js'), 'utf8');
const FOLDER = 'https://host.example/a/ohif/0123456789abcdef/';
const APP = `${FOLDER}app.js`;
const FRAME = 'https://host.example/a/studies/1/series/2/instances/3/frames/1';
const DATA = { next: '1.js 1.css', early: 'worker.js decoder.wasm', again: 'app.js 1.js' };

/** A page whose application came over the line with so many bytes; its clock and its requests are moved by the test. */
function open({ transferSize = 1000, data = DATA } = {}) {
  const page = { elements: [], fetched: [], marks: [], timers: new Map(), connected: false };
  let [number, observe] = [0, null];
  const document = {
    currentScript: { src: `${FOLDER}viewer-start.js`, dataset: data },
    getElementById: () => ({ href: APP, addEventListener: () => {} }),
    addEventListener: (_name, act) => act(),
    createElement: (tag) => ({ tag, remove: () => {} }),
    head: { append: (element) => page.elements.push(element) },
  };
  const performance = {
    getEntriesByName: (name) => (name === APP ? [{ responseEnd: 1, transferSize }] : []),
    mark: (name) => page.marks.push(name),
  };
  class PerformanceObserver {
    constructor(act) {
      observe = (...names) => act({ getEntries: () => names.map((name) => ({ name })) });
    }
    observe() {
      page.connected = true;
    }
    disconnect() {
      page.connected = false;
    }
  }
  const window = { requestIdleCallback: (act) => act() };
  const fetch = async (url) => {
    page.fetched.push(String(url));
    return { arrayBuffer: async () => {} };
  };
  const setTimeout = (act) => page.timers.set(++number, act) && number;
  const clearTimeout = (id) => page.timers.delete(id);
  vm.runInNewContext(TEXT, { window, document, performance, PerformanceObserver, fetch, setTimeout, clearTimeout, URL, Promise });
  const pass = () => [...page.timers.values()].forEach((act) => act());
  const scripts = () => page.elements.filter(({ tag }) => tag === 'script').map(({ src }) => src);
  return { page, window, pass, scripts, request: (...names) => observe(...names), settle: () => new Promise(setImmediate) };
}

test('the application runs, and what it will ask for is fetched', async () => {
  const { page, window, scripts, settle } = open();
  await settle();
  assert.equal(window.PUBLIC_URL, '/a/ohif/0123456789abcdef/');
  assert.deepEqual(scripts(), [APP]);
  const links = page.elements.filter(({ tag }) => tag === 'link').map(({ as, href }) => `${as} ${href}`);
  assert.deepEqual(links, [`script ${FOLDER}1.js`, `style ${FOLDER}1.css`]);
  assert.deepEqual(page.fetched, [`${FOLDER}worker.js`, `${FOLDER}decoder.wasm`]);
});

test('scripts run again once an image has come and requests rest', async () => {
  const { page, pass, scripts, request, settle } = open();
  await settle();
  request('https://host.example/a/studies', APP);
  assert.equal(page.timers.size, 0, 'no image yet');
  request(FRAME);
  const [first] = page.timers.keys();
  request('https://host.example/a/thumbnail');
  assert.equal(page.timers.has(first), false, 'another request puts it off');
  assert.deepEqual(scripts(), [APP]);
  pass();
  assert.deepEqual(scripts(), [APP, APP, `${FOLDER}1.js`]);
  assert.equal(page.connected, false);
  assert.deepEqual(page.marks, []);
  for (const element of page.elements) element.onload?.();
  await settle();
  assert.deepEqual(page.marks, ['stillframe-ran-again']);
});

test('a document or a video is an image in this', async () => {
  for (const name of [FRAME.replace('frames/1', 'rendered'), `${FRAME}?x=1`]) {
    const { pass, scripts, request, settle } = open();
    await settle();
    request(name);
    pass();
    assert.equal(scripts().length, 3, name);
  }
});

test('what was in the cache runs once, and so does an application that would start a second time', async () => {
  for (const options of [{ transferSize: 0 }, { data: { ...DATA, again: '' } }]) {
    const { page, pass, scripts, request, settle } = open(options);
    await settle();
    if (page.connected) request(FRAME);
    pass();
    assert.deepEqual(scripts(), [APP]);
  }
});
