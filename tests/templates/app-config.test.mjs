// app-config.js, rendered by the tests that run this, in a page of its own: APP_CONFIG is its text, APP_CONFIG_TITLED that
// of a service with a name that would be markup.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

const PLAIN = readFileSync(process.env.APP_CONFIG, 'utf8');
const TITLED = readFileSync(process.env.APP_CONFIG_TITLED, 'utf8');
const TOKEN = 'aZ09_-aZ09_-aZ09';

/**
 * What the script makes of a page at `href` whose scripts lie under `base`; `root` is what service.js has said. `load` is what
 * a `text` calls that imports nothing.
 */
function open(href, { base = 'https://host.example/', root, text = PLAIN, load } = {}) {
  const [replaced, pushed, left] = [[], [], []];
  const location = Object.assign(new URL(href), { assign: (url) => left.push(url) });
  const window = {
    location,
    history: {
      replaceState: (_state, _title, url) => replaced.push(url),
      pushState: (_state, _title, url) => pushed.push(url),
    },
    ...(root && { stillframe: { root } }),
  };
  const document = { currentScript: { src: `${base}app-config.js` } };
  vm.runInNewContext(text, { window, document, URL, URLSearchParams, console, load });
  const { configuration } = window.config.dataSources[0];
  return { config: window.config, source: configuration, replaced, pushed, left, push: (url) => window.history.pushState({}, '', url) };
}

test('the root is what service.js says', () => {
  const root = 'https://other.example/archive';
  const { source } = open('https://host.example/viewer?StudyInstanceUIDs=1.2', { root });
  assert.deepEqual([source.wadoRoot, source.qidoRoot, source.wadoUriRoot], [root, root, root]);
});

test('without service.js it is the folder of the site', () => {
  const base = 'http://host.example:9000/bucket/a%20prefix/';
  const { source, config } = open(`${base}viewer`, { base });
  assert.equal(source.wadoRoot, 'http://host.example:9000/bucket/a%20prefix');
  assert.equal(config.routerBasename, '/bucket/a%20prefix');
  assert.equal(open('https://host.example/viewer').source.wadoRoot, 'https://host.example');
});

test('a name is text, whatever it holds', () => {
  const { source } = open('https://host.example/viewer', { text: TITLED });
  assert.equal(source.friendlyName, '</script>"\'');
  assert.doesNotMatch(TITLED, /<\/script>/);
});

test('the root of a host is the basename /', () => assert.equal(open('https://host.example/viewer').config.routerBasename, '/'));

test('a token names an unlisted service', () => {
  const root = 'https://host.example/dicomweb';
  for (const token of [TOKEN, 'a'.repeat(128)]) {
    assert.equal(open(`https://host.example/viewer?root=${token}`, { root }).source.wadoRoot, `${root}/${token}`);
  }
  for (const text of ['short', 'a'.repeat(129), '../../../elsewhere', `${TOKEN}/..`, `${TOKEN}%0A`, `${TOKEN}%2F`, '']) {
    assert.equal(open(`https://host.example/viewer?root=${text}`, { root }).source.wadoRoot, root);
  }
});

test("OHIF's study list is at worklist", () => {
  assert.deepEqual(open('https://host.example/worklist?modalities=CT#x').replaced, ['/?modalities=CT#x']);
  const base = 'https://host.example/bucket/prefix/';
  assert.deepEqual(open(`${base}worklist`, { base }).replaced, ['/bucket/prefix/']);
  for (const path of ['', 'viewer', 'worklists', 'a/worklist']) {
    assert.deepEqual(open(`https://host.example/${path}`).replaced, []);
  }
});

test('the way back from a study leads to the study page', () => {
  for (const base of ['https://host.example/', 'https://host.example/bucket/a%20prefix/']) {
    const { push, pushed, left } = open(`${base}viewer?StudyInstanceUIDs=1.2`, { base });
    push(`${base}segmentation?StudyInstanceUIDs=1.2`);
    push(base.slice(0, -1));
    push(`${base}?modalities=CT`);
    assert.deepEqual(pushed, [`${base}segmentation?StudyInstanceUIDs=1.2`]);
    assert.deepEqual(left, [`${base}index.html`, `${base}index.html`]);
  }
  const list = open('https://host.example/worklist');
  list.push('/viewer?StudyInstanceUIDs=1.2');
  list.push('/');
  assert.deepEqual([list.pushed.length, list.left], [2, []]);
});

test('an unlisted study keeps its token', () => {
  const { push, pushed, left } = open(`https://host.example/viewer?root=${TOKEN}&StudyInstanceUIDs=1.2`);
  push('/segmentation?StudyInstanceUIDs=1.2');
  push(`/tmtv?root=${TOKEN}`);
  push('/');
  assert.deepEqual(pushed, [
    `https://host.example/segmentation?StudyInstanceUIDs=1.2&root=${TOKEN}`,
    `https://host.example/tmtv?root=${TOKEN}`,
  ]);
  assert.deepEqual(left, [`https://host.example/index.html?root=${TOKEN}`]);
});

test('a static host and a whole frame', () => {
  const { source } = open('https://host.example/viewer');
  assert.deepEqual([source.staticWado, source.supportsFuzzyMatching], [true, false]);
  const { stages, retrieveOptions } = source.stackRetrieveOptions.$set;
  assert.equal(JSON.stringify(stages.map(({ retrieveType }) => retrieveOptions[retrieveType])), '[{}]');
});

test('a browser module that does not start leaves OHIF as it is', async () => {
  const { config } = open('https://host.example/viewer');
  const [extension] = config.extensions;
  assert.equal(extension.id, 'stillframe');
  const { warn } = console;
  const said = [];
  console.warn = (...words) => said.push(words);
  try {
    await extension.preRegistration({}); // a page of its own imports nothing
  } finally {
    console.warn = warn;
  }
  assert.equal(said.length, 1);
  assert.deepEqual(Object.keys(extension), ['id', 'preRegistration']);
});

/** The extension as OHIF enters a mode with it, with a browser module that starts; and what its handlers make. */
async function enter(handlers) {
  const text = PLAIN.replace('await import(', 'await load(');
  assert.notEqual(text, PLAIN);
  const entered = [];
  const ohifExtension = { id: 'stillframe', preRegistration() {}, onModeEnter: () => entered.push('mode'), onModeExit() {} };
  const { config } = open('https://host.example/viewer', { text, load: async () => ({ ohifExtension }) });
  const [extension] = config.extensions;
  await extension.preRegistration({});
  assert.equal(extension.onModeExit, ohifExtension.onModeExit);
  const extensionManager = { getModuleEntry: (id) => handlers[id] };
  extension.onModeEnter({ extensionManager });
  extension.onModeEnter({ extensionManager });
  assert.deepEqual(entered, ['mode', 'mode']);
}

const STACK = '@ohif/extension-default.sopClassHandlerModule.stack';
const UNSUPPORTED = '@ohif/extension-default.sopClassHandlerModule.not-supported-display-sets-handler';

test('an image without frames is none', async () => {
  const maker = (name) => ({ getDisplaySetsFromSeries: (instances) => [[name, ...instances.map(({ uid }) => uid)]] });
  const handlers = { [STACK]: maker('stack'), [UNSUPPORTED]: maker('unsupported') };
  await enter(handlers);
  const framed = { uid: 1, AvailableTransferSyntaxUID: '1.2.840.10008.1.2.4.202' };
  const { getDisplaySetsFromSeries: make } = handlers[STACK];
  assert.deepEqual([...make([framed, { uid: 2 }])], [['stack', 1], ['unsupported', 2]]);
  assert.deepEqual([...make([framed])], [['stack', 1]]);
  assert.deepEqual([...make([{ uid: 2 }])], [['unsupported', 2]]);
});

test('an OHIF without these handlers enters its mode all the same', () => enter({}));
