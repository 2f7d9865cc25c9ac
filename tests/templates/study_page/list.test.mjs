// node --test tests/templates/study_page; tests/templates/test_study_page.py runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

const {
  formatDate,
  formatName,
  formatTime,
  isUid,
  readInstance,
  readSeries,
  readStudy,
  serviceRoot,
  textOf,
} = await load('study-list.js');
const { ArrayReader, RecordReader } = await load('study-reader.js');

const bytes = (text) => new TextEncoder().encode(text);

function readInPieces(whole, size) {
  const reader = new ArrayReader();
  const items = [];
  for (let start = 0; start < whole.length; start += size)
    items.push(...reader.push(whole.subarray(start, start + size)));
  items.push(...reader.end());
  return items;
}

test('a list is read alike, wherever it is cut', () => {
  const items = [
    { a: 'brackets ] } { [ and "quotes" and a backslash \\', b: [1, [2, { c: null }]] },
    {},
    { name: '山田^太郎 🩻 Müller' },
    { escapes: '\\"]}' },
  ];
  for (const text of [JSON.stringify(items), JSON.stringify(items, null, 2), `\n ${JSON.stringify(items)} \n`]) {
    const whole = bytes(text);
    for (let size = 1; size <= whole.length; size += 1)
      assert.deepEqual(readInPieces(whole, size), items, `pieces of ${size}`);
  }
});

test('empty lists, and lists of other things than objects', () => {
  for (const text of ['[]', ' [ ] ', '[1,2]', '[null,{"a":1},"x"]', '[[1],[2]]']) {
    for (const size of [1, 2, 100]) assert.deepEqual(readInPieces(bytes(text), size), JSON.parse(text), text);
  }
});

test('what is no list in JSON is refused, wherever it is cut', () => {
  const broken = [
    '',
    '  ',
    '{"a":1}',
    '<html></html>',
    '[{"a":1}',
    '[{"a":1},',
    '[{"a":1}}',
    '[{"a":}]',
    '[{"a":1}]x',
    '[{"a":1}]{}',
    '[{}{}]',
    '"[]"',
    'null',
  ];
  for (const text of broken) {
    for (const size of [1, 3, 100])
      assert.throws(() => readInPieces(bytes(text), size), SyntaxError, `${text} in pieces of ${size}`);
  }
});

test('text that is no UTF-8 is refused', () => {
  assert.throws(() => readInPieces(Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x5d), 100), TypeError);
});

test('UIDs that may stand in a URL', () => {
  for (const uid of ['1.2.3', '0', '1'.repeat(64)]) assert.equal(isUid(uid), true, uid);
  for (const uid of [
    '',
    '1..2',
    '.1',
    '1.',
    '../1',
    '1/2',
    '1.2 ',
    'a',
    '1'.repeat(65),
    '１',
    null,
    undefined,
    12,
    ['1.2'],
  ])
    assert.equal(isUid(uid), false, String(uid));
});

test('names as people write them (PS3.5 6.2.1)', () => {
  const names = {
    'Adams^John Robert Quincy^^Rev.^B.A. M.Div.': 'Adams, Rev. John Robert Quincy, B.A. M.Div.',
    'Morrison-Jones^Susan^^^Ph.D., Chief Executive Officer': 'Morrison-Jones, Susan, Ph.D., Chief Executive Officer',
    'Doe^John': 'Doe, John',
    'Smith^Fluffy^': 'Smith, Fluffy',
    Doe: 'Doe',
    '^Anna': 'Anna',
    '山田^太郎': '山田 太郎',
    'やまだ^たろう': 'やまだ たろう',
    '홍^길동': '홍 길동',
    'ﾔﾏﾀﾞ^ﾀﾛｳ': 'ﾔﾏﾀﾞ, ﾀﾛｳ',
    '': '',
    '^^^^': '',
  };
  for (const [group, name] of Object.entries(names)) assert.equal(formatName(group), name, group);
});

test('dates and times', () => {
  assert.equal(formatDate('20240317'), '2024-03-17');
  assert.equal(formatDate('yesterday'), 'yesterday');
  assert.equal(formatTime('140522.123'), '14:05');
  assert.equal(formatTime('14'), '');
  assert.equal(readStudy({ '0020000D': { Value: ['1'] }, '00080020': { Value: ['1997.04.24'] } }).date, '19970424');
});

/** What a study tells. */
function valuesOfStudy(study) {
  const names = ['uid', 'names', 'patientId', 'birthDate', 'sex', 'accession', 'date', 'time', 'description', 'modalities',
    'seriesCount', 'instanceCount']; // prettier-ignore
  return Object.fromEntries(names.map((name) => [name, study[name]]));
}

test('a study is the same from its record and from the line that holds it', () => {
  const value = (vr, ...values) => ({ vr, Value: values });
  const base = { '0020000D': value('UI', '1.2.3'), '00080020': value('DA', '20240317'), '00080030': value('TM', '1405') };
  for (const more of [
    {},
    { '00080061': value('CS', 'CT', 'SEG'), '00100010': value('PN', { Alphabetic: 'Müller^"A"' }), '00201208': value('IS', 3) },
    { '00080061': value('CS', 'CT', null, ' SR '), '00081030': value('LO', '"0020000D":{"vr":"UI","Value":["9"]}') },
    { '00080061': value('CS', 'a]}b', 'c\\', '"]}') },
    { '00080061': { vr: 'CS' }, '00080020': { vr: 'DA' }, '00080030': value('TM', '') },
    { '00080020': value('DA', null, '2024.03.17') },
    { '00080020': value('DA', '', '20240317') },
    { '00080020': value('DT', '20240317') },
    { '00080020': { Value: ['20240317'], vr: 'DA' } },
    { '00080020': { vr: 'DA', BulkDataURI: 'x' }, '00080061': 'CT' },
    { '00081110': value('SQ', { '00080020': value('DA', '19990101') }), '00080020': undefined },
    { '0020000D': value('UI', '1.2.3', '1.2.4') },
    { '0020000D': value('UI', '1.2\u002e3') },
  ]) {
    const line = JSON.stringify({ ...base, ...more });
    assert.deepEqual(valuesOfStudy(readStudy(line)), valuesOfStudy(readStudy(JSON.parse(line))), line);
  }
  for (const uid of [[], ['x'], ['1.2/3'], ['1..2']])
    assert.equal(readStudy(JSON.stringify({ ...base, '0020000D': value('UI', ...uid) })), null);
  assert.equal(readStudy(JSON.stringify({ '00080020': value('DA', '20240317') })), null);
});

test('a line that holds no JSON is found when more of it is asked for', () => {
  const study = readStudy('{"0020000D":{"vr":"UI","Value":["1.2.3"]},"00100020":{"vr":"LO","Value":["P1"}}');
  assert.deepEqual([study.uid, study.isDamaged], ['1.2.3', false]);
  assert.deepEqual([study.patientId, study.names, study.isDamaged], ['', [], true]);
  assert.equal(readStudy('{"0020000D":{"vr":"UI","Value":[1.2.3]}}'), null);
});

const LONG = 2 ** 20; // RecordReader parts lines behind the first 128 KiB

function readRecords(whole, size) {
  const reader = new RecordReader();
  const items = [];
  for (let start = 0; start < whole.length; start += size)
    items.push(...reader.push(whole.subarray(start, start + size)));
  return [...items, ...reader.end()];
}

test('a long list is read alike in each of its forms, wherever it is cut', () => {
  const records = Array.from({ length: 9000 }, (_, index) => ({
    '00100010': { vr: 'PN', Value: [{ Alphabetic: `Müller^${index}`, Ideographic: '山田^太郎 🩻' }] },
    '00100020': { vr: 'LO', Value: [`,\n{ ${index}`, null] },
    '0020000D': { vr: 'UI', Value: [`1.2.${index}`] },
  }));
  const lines = records.map((record) => JSON.stringify(record));
  const forms = {
    'a record a line': `[${lines.join(',\n')}]`,
    'a line at its end': `[${lines.join(',\n')}]\n`,
    'one line': JSON.stringify(records),
    'many lines': JSON.stringify(records, null, 1),
    'lines that begin alike': JSON.stringify(records, null, 1).replaceAll(/^ +/gm, ''),
    'another form at last': `[${lines.slice(0, 8990).join(',\n')},\n${JSON.stringify(records.slice(8990), null, 1).replaceAll(/^ +/gm, '').slice(2)}`,
    'lines that hold two': `[${lines.join(',\n').replaceAll(/(4"\]\}\}),\n/g, '$1,')}]`,
  };
  for (const [form, text] of Object.entries(forms)) {
    assert.deepEqual(JSON.parse(text), records);
    const whole = bytes(text);
    assert.ok(whole.length > LONG, form);
    for (const size of [1000, 65536, 2 ** 20 + 1, whole.length]) {
      const items = readRecords(whole, size).map((item) => (typeof item === 'string' ? JSON.parse(item) : item));
      assert.equal(items.length, records.length, `${form} in pieces of ${size}`);
      assert.deepEqual(items, records, `${form} in pieces of ${size}`);
    }
  }
  assert.ok(readRecords(bytes(forms['a record a line']), 65536).filter((item) => typeof item === 'string').length > 1000);
});

test('a long list that is none is refused', () => {
  const line = JSON.stringify({ '0020000D': { vr: 'UI', Value: ['1.2.3'] } });
  const good = `[${Array(30_000).fill(line).join(',\n')}`;
  for (const end of ['', ',', ',\n', ']]', ']x', '}', `,\n${line}`, ',\n]', ',\n{"a":}]', `${line}]`, ',\n,\n{}]']) {
    for (const size of [65536, 10_000_000])
      assert.throws(() => readRecords(bytes(good + end), size), SyntaxError, JSON.stringify(end));
  }
});

test('the record of a study', () => {
  const study = readStudy({
    '0020000D': { vr: 'UI', Value: ['1.2.3'] },
    '00080020': { vr: 'DA', Value: ['20240317'] },
    '00080030': { vr: 'TM' },
    '00080050': { vr: 'SH', Value: [' A1 '] },
    '00080061': { vr: 'CS', Value: ['CT', null, 'SEG'] },
    '00100010': {
      vr: 'PN',
      Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
    },
    '00100020': { vr: 'LO', Value: [null, 'P1'] },
    '00201206': { vr: 'IS', Value: [2] },
    '00201208': { vr: 'IS', Value: ['314'] },
  });
  assert.deepEqual([study.name, study.otherNames], ['Yamada, Tarou', ['山田 太郎', 'やまだ たろう']]);
  assert.deepEqual(
    valuesOfStudy(study),
    {
      uid: '1.2.3',
      names: ['Yamada^Tarou', '山田^太郎', 'やまだ^たろう'],
      patientId: 'P1',
      birthDate: '',
      sex: '',
      accession: 'A1',
      date: '20240317',
      time: '',
      description: '',
      modalities: ['CT', 'SEG'],
      seriesCount: 2,
      instanceCount: 314,
    },
  );
});

test('a name without the alphabetic group is called by the next', () => {
  const study = readStudy({ '0020000D': { Value: ['1'] }, '00100010': { Value: [{ Ideographic: '山田^太郎' }] } });
  assert.deepEqual([study.name, study.otherNames], ['山田 太郎', []]);
});

test('records that are none, or of an unexpected form', () => {
  for (const record of [
    null,
    undefined,
    5,
    'x',
    [],
    {},
    { '0020000D': { Value: ['../x'] } },
    { '0020000D': { Value: '1.2' } },
    { '0020000D': null },
  ]) {
    for (const read of [readStudy, readSeries, readInstance]) assert.equal(read(record), null, JSON.stringify(record));
  }
  const odd = readStudy({
    '0020000D': { Value: ['1'] },
    '00100010': { Value: ['text', { Alphabetic: 5 }] },
    '00201206': { Value: ['-1'] },
    '00081030': { Value: [{}] },
  });
  assert.deepEqual([odd.name, odd.seriesCount, odd.description], ['', NaN, '']);
  assert.equal(textOf({ '00080050': { Value: [{ toString: 1 }] } }, '00080050'), '');
});

test('the service root, and that of an unlisted study', () => {
  assert.equal(serviceRoot('https://a.example/dicomweb', ''), 'https://a.example/dicomweb');
  assert.equal(serviceRoot('/r', '?x=1&root=abcdefgh12345678'), '/r/abcdefgh12345678');
  assert.equal(serviceRoot('/r', `?root=${'_-'.repeat(64)}`), `/r/${'_-'.repeat(64)}`);
  for (const token of [
    '',
    'short',
    'a'.repeat(129),
    '../../../../secret',
    'abcdefgh/12345678',
    '%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e',
  ]) {
    assert.throws(() => serviceRoot('/r', `?root=${token}`), token);
  }
});
