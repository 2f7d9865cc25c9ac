// node --test tests/templates/study_page; tests/templates/test_study_page.py runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

const { decodeXml, documentOf, kindOf, mayHavePicture, publishedObjects, viewerRoute } = await load('study-content.js');
const { outlineOf, titleOf } = await load('study-outline.js');

const STORAGE = '1.2.840.10008.5.1.4.1.1.';
const HTJ2K = '1.2.840.10008.1.2.4.202';
const record = (options) => ({
  '00990011': { vr: 'LO', Value: ['STILLFRAME'] },
  '00991102': { vr: 'UC', Value: [`format=2;${options};bytes=1`] },
});
const metadata = (sopClass, options, more = {}) => ({
  '00080016': { vr: 'UI', Value: [STORAGE + sopClass] },
  ...(options ? record(options) : {}),
  ...more,
});
const frames = { '00083002': { vr: 'UI', Value: [HTJ2K] } };
const code = (meaning) => ({
  vr: 'SQ',
  Value: [{ '00080100': { vr: 'SH', Value: ['1'] }, '00080104': { vr: 'LO', Value: [meaning] } }],
});
const text = (vr, ...values) => ({ vr, Value: values });

test('SOP classes (PS3.6 A) and what they are to a reader', () => {
  const kinds = {
    2: 'Image',
    '77.1.6': 'Slide',
    104.1: 'PDF document',
    104.2: 'CDA document',
    104.3: 'STL model',
    104.4: 'OBJ model',
    88.11: 'Structured report',
    88.33: 'Structured report',
    88.59: 'Key object selection',
    11.1: 'Presentation state',
    '9.1.1': 'Waveform',
    '9.1.2': 'Waveform',
    481.3: 'RT structure set',
    481.5: 'RT plan',
    66.4: 'Segmentation',
    66.7: 'Segmentation',
    91.1: 'Microscopy annotations',
    66: 'Raw data',
    66.1: 'Spatial registration',
  };
  for (const [sopClass, label] of Object.entries(kinds))
    assert.equal(kindOf({ sopClass: STORAGE + sopClass, transferSyntax: '', rows: 8 }).label, label, sopClass);
  assert.equal(kindOf({ sopClass: '1.2.3.4', transferSyntax: '', rows: 512 }).kind, 'image');
  assert.equal(kindOf({ sopClass: '1.2.3.4', transferSyntax: '', rows: NaN }).label, 'Object');
  assert.equal(kindOf({ sopClass: '', transferSyntax: '', rows: NaN }).label, 'Object');
  assert.equal(kindOf({ sopClass: `${STORAGE}toString`, transferSyntax: '', rows: NaN }).label, 'Object');
});

test('videos are told by their transfer syntax', () => {
  for (const name of ['100', '100.1', '102', '103.1', '106', '107', '108']) {
    assert.equal(
      kindOf({ sopClass: `${STORAGE}6.1`, transferSyntax: `1.2.840.10008.1.2.4.${name}`, rows: 8 }).kind,
      'video',
      name,
    );
  }
  for (const name of ['90', '109', '110', '202', '1001'])
    assert.equal(
      kindOf({ sopClass: `${STORAGE}6.1`, transferSyntax: `1.2.840.10008.1.2.4.${name}`, rows: 8 }).kind,
      'image',
      name,
    );
});

test('which viewer shows a study', () => {
  assert.equal(viewerRoute(['CT', 'SR']), 'viewer');
  assert.equal(viewerRoute(['SM']), 'microscopy');
  assert.equal(viewerRoute(['ANN', 'SM']), 'microscopy');
  assert.equal(viewerRoute(['KO', 'PR', 'RTPLAN']), '');
  assert.equal(viewerRoute([]), 'viewer', 'a study that names no modality may be anything');
  assert.deepEqual(['CT', 'SEG', 'RTDOSE', 'OT'].map(mayHavePicture), [true, true, true, true]);
  assert.deepEqual(['SR', 'DOC', 'RTSTRUCT', 'ECG'].map(mayHavePicture), [false, false, false, false]);
});

test('whether the whole object is published follows from its record (docs/format.md)', () => {
  const whole = (...values) => publishedObjects(metadata(...values)).whole;
  assert.equal(whole('2', 'part10=auto', frames), false);
  assert.equal(whole('2', 'part10=always', frames), true);
  assert.equal(whole('66.4', 'part10=auto', frames), true);
  assert.equal(whole('30', 'part10=auto', frames), true);
  assert.equal(whole('481.2', 'part10=auto', frames), false);
  assert.equal(whole('88.11', 'part10=auto'), true);
  assert.equal(whole('88.11', 'part10=never'), false);
  assert.equal(whole('77.1.1.1', 'part10=auto', { '00083002': text('UI', '1.2.840.10008.1.2.4.102') }), true);
  assert.equal(whole('88.11', ''), true, 'without a record, what is usual');
  assert.equal(whole('2', '', frames), false);
});

test('documents and videos are rendered, unless the build was told never to', () => {
  const rendered = (...values) => publishedObjects(metadata(...values)).rendered;
  assert.equal(rendered('104.1', 'rendered=documents'), true);
  assert.equal(rendered('104.1', 'rendered=always'), true);
  assert.equal(rendered('104.1', 'rendered=never'), false);
  for (const note of ['document', 'video'].map((what) => `first\nno ${what} under rendered: a rendered object of unknown type`)) {
    assert.equal(rendered('104.1', 'rendered=documents', { '00991103': text('UT', `a ${note}`.replace('\n', ' ')) }), true);
    assert.equal(rendered('104.1', 'rendered=documents', { '00991103': text('UT', note) }), false);
  }
  assert.equal(rendered('104.2', 'rendered=always'), false);
  assert.equal(rendered('77.1.1.1', 'rendered=documents', { '00083002': text('UI', '1.2.840.10008.1.2.4.102') }), true);
});

test('the encapsulated document', () => {
  assert.deepEqual(
    documentOf({ '00420011': { vr: 'OB', BulkDataURI: 'bulkdata/00420011' }, '00420015': text('UL', 2009) }),
    { uri: 'bulkdata/00420011', length: 2009 },
  );
  assert.deepEqual(documentOf({ '00420011': { vr: 'OB', InlineBinary: 'PGEvPg==' } }), {
    base64: 'PGEvPg==',
    length: Infinity,
  });
  assert.equal(documentOf({ '00420011': { vr: 'OB' } }), null);
  assert.equal(documentOf({}), null);
});

test('a report reads as its content tree (PS3.3 C.17.3)', () => {
  const item = (type, name, more = {}) => ({
    '0040A040': text('CS', type),
    ...(name ? { '0040A043': code(name) } : {}),
    ...more,
  });
  const image = {
    '00081199': text('SQ', {
      '00081150': text('UI', `${STORAGE}2`),
      '00081155': text('UI', '1.2.9'),
      '00081160': text('IS', 1, 3),
    }),
  };
  const unit = { vr: 'SQ', Value: [{ '00080100': text('SH', 'cm'), '00080104': text('LO', 'centimeter') }] };
  const items = [
    item('TEXT', 'Finding', { '0040A160': text('UT', 'A mass.') }),
    item('NUM', 'Diameter', { '0040A300': text('SQ', { '0040A30A': text('DS', 3.5), '004008EA': unit }) }),
    item('NUM', 'Volume', { '0040A300': { vr: 'SQ' }, '0040A301': code('Not a number') }),
    item('CODE', 'Side', { '0040A168': code('Left') }),
    item('PNAME', 'Observer', { '0040A123': text('PN', { Alphabetic: 'Doe^Jane' }) }),
    item('DATE', 'Date', { '0040A121': text('DA', '20240317') }),
    item('TIME', 'Time', { '0040A122': text('TM', '140500') }),
    item('DATETIME', 'Moment', { '0040A120': text('DT', '20240317140500.000000+0100') }),
    item('UIDREF', 'UID', { '0040A124': text('UI', '1.2.3') }),
    item('SCOORD', 'Region', { '00700022': text('FL', 1, 2, 3, 4), '00700023': text('CS', 'CIRCLE') }),
    item('IMAGE', 'Source', image),
    item('', '', { '0040DB73': text('UL', 1, 2, 3) }),
    item('CONTAINER', 'Section', { '0040A730': text('SQ', item('TEXT', 'Deep', { '0040A160': text('UT', 'down') })) }),
    null,
  ];
  const evidence = text('SQ', {
    '0020000D': text('UI', '1.5'),
    '00081115': text('SQ', {
      '0020000E': text('UI', '1.6'),
      '00081199': text('SQ', { '00081155': text('UI', '1.2.9') }),
    }),
  });
  const [root] = outlineOf({ ...item('CONTAINER', 'Report'), '0040A730': text('SQ', ...items), '0040A375': evidence });
  assert.equal(root.label, 'Report');
  assert.deepEqual(
    root.items.map((node) => [node.label, node.text]),
    [
      ['Finding', 'A mass.'],
      ['Diameter', '3.5 cm'],
      ['Volume', 'Not a number'],
      ['Side', 'Left'],
      ['Observer', 'Doe, Jane'],
      ['Date', '2024-03-17'],
      ['Time', '14:05'],
      ['Moment', '2024-03-17 14:05'],
      ['UID', '1.2.3'],
      ['Region', 'circle of 2 points'],
      ['Source', 'Image, frame 1, 3'],
      ['', 'see item 1.2.3'],
      ['Section', ''],
    ],
  );
  assert.deepEqual(root.items[10].reference, {
    instance: '1.2.9',
    sopClass: `${STORAGE}2`,
    study: '1.5',
    series: '1.6',
  });
  assert.deepEqual(
    root.items[12].items.map((node) => node.text),
    ['down'],
  );
});

test('a report nested without end is read to a depth', () => {
  let tree = {};
  for (let depth = 0; depth < 5000; depth += 1)
    tree = { '0040A040': text('CS', 'CONTAINER'), '0040A730': text('SQ', tree) };
  let [node] = outlineOf(tree);
  let depth = 0;
  for (; node.items.length; depth += 1) [node] = node.items;
  assert.equal(depth, 64);
});

test('plans, segmentations and presentation states', () => {
  const find = (nodes, label) => nodes.find((node) => node.label === label);
  const beam = {
    '300A00C0': text('IS', 1),
    '300A00C2': text('LO', 'AP'),
    '300A00C6': text('CS', 'PHOTON'),
    '300A0111': text('SQ', { '300A0114': text('DS', 6) }, {}),
  };
  const plan = outlineOf({ '300A0002': text('SH', 'Plan1'), '300A00B0': text('SQ', beam) });
  assert.equal(find(plan, 'Plan label').text, 'Plan1');
  const [first] = find(plan, 'Beams').items;
  assert.deepEqual(
    [first.label, ...first.items.map((node) => `${node.label} ${node.text}`)],
    ['1 · AP', 'Radiation PHOTON', 'Energy (MV, MeV) 6', 'Control points 2'],
  );
  const segments = outlineOf({
    '00620002': text('SQ', { '00620004': text('US', 1), '00620005': text('LO', 'Liver'), '0062000F': code('Liver') }),
  });
  assert.deepEqual(
    find(segments, 'Segments').items.map(({ label }) => label),
    ['1 · Liver'],
  );
  const references = text('SQ', {
    '0020000E': text('UI', '1.7'),
    '00081140': text('SQ', { '00081150': text('UI', `${STORAGE}2`), '00081155': text('UI', '1.8') }),
  });
  const [state] = find(outlineOf({ '00081115': references }), 'Refers to').items;
  assert.deepEqual(state.reference, { instance: '1.8', sopClass: `${STORAGE}2`, study: '', series: '1.7' });
});

test('references that cannot stand in a URL are none', () => {
  const references = text('SQ', {
    '0020000E': text('UI', '../x'),
    '00081140': text('SQ', { '00081155': text('UI', '"><script>') }, { '00081155': text('UI', '1.8') }),
  });
  const [bad, good] = outlineOf({ '00081115': references })[0].items;
  assert.equal(bad.reference, null);
  assert.equal(good.reference.series, '');
});

test('metadata of an unexpected form say nothing', () => {
  for (const odd of [
    {},
    { '0040A730': text('SQ', 1, 'x', null) },
    { '00620002': { vr: 'SQ', Value: 'x' } },
    { '300A00B0': text('SQ', null) },
    { '0040A375': text('SQ', null, 5) },
  ]) {
    assert.ok(Array.isArray(outlineOf(odd)), JSON.stringify(odd));
  }
  assert.equal(titleOf({ '0040A043': { vr: 'SQ', Value: [null] } }), '');
  assert.equal(titleOf({ '00420010': text('ST', 'Letter'), '0040A043': code('Report') }), 'Letter');
});

test('XML is read in the encoding that it says it has', () => {
  const latin = (name) => Buffer.from(`<?xml version="1.0" encoding=${name} ?><a>Müller</a>`, 'latin1');
  for (const name of ['"ISO-8859-1"', "'windows-1252'"]) assert.match(decodeXml(latin(name)), /Müller/);
  const utf8 = (head) => Buffer.from(`${head}<a>Müller 山田</a>`);
  for (const encoding of ['', ' encoding="UTF-8"', ' encoding="UTF-16"', ' encoding="none-such"']) {
    assert.match(decodeXml(utf8(`<?xml version="1.0"${encoding}?>`)), /Müller 山田/);
  }
  assert.match(decodeXml(utf8('\ufeff')), /^<a>Müller/);
  const wide = Buffer.from('\ufeff<?xml version="1.0" encoding="UTF-16"?><a>Müller</a>', 'utf16le');
  for (const bytes of [wide, wide.subarray(2), Buffer.from(wide).swap16(), Buffer.from(wide).swap16().subarray(2)]) {
    assert.match(decodeXml(bytes), /^<.xml.*Müller<\/a>$/);
  }
});

test('value types of a report that are none have no text', () => {
  for (const type of ['__proto__', 'constructor', 'toString', 'ELSE']) {
    const item = { '0040A040': text('CS', type), '0040A043': code('Finding') };
    const report = { '00080016': text('UI', `${STORAGE}88.11`), '0040A730': { vr: 'SQ', Value: [item] } };
    const [content] = outlineOf(report).filter(({ items }) => items.some(({ label }) => label === 'Finding'));
    assert.deepEqual(content.items.map((node) => node.text), [''], type);
  }
});
