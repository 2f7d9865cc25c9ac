// node --test tests/templates/study_page; tests/templates/test_study_page.py runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './load.mjs';

const { compileFacets, compileSearch, countModalities, fold, readDates, readView, searchText, sortStudies, writeView } =
  await load('study-search.js');

const study = (values) => ({
  uid: '1.2.3',
  names: [],
  name: '',
  patientId: '',
  accession: '',
  date: '',
  time: '',
  description: '',
  modalities: [],
  seriesCount: NaN,
  instanceCount: NaN,
  ...values,
});
const KNOWN = ['CT', 'MR', 'SR', 'US'];
const finds = (text, values) => compileSearch(text, KNOWN)(study(values), searchText(study(values)));

function assertFinds(values, found, missed) {
  for (const text of found) assert.equal(finds(text, values), true, `${text} finds ${JSON.stringify(values)}`);
  for (const text of missed) assert.equal(finds(text, values), false, `${text} finds ${JSON.stringify(values)}`);
}

test('names: any case, parts in any order, with commas or carets', () => {
  assertFinds(
    { names: ['Smith^John Albert^^Dr.'] },
    [
      'smith',
      'SMITH',
      'Smith, John',
      'John Smith',
      'smith^john',
      'Smith;John',
      'mit',
      'al jo',
      'smith,',
      'dr. smith',
      'name:smith',
      'name:john name:smith',
      '"smith john"',
      ' ',
      '',
    ],
    ['smyth', 'john smithe', '"john smith"', 'id:smith', 'name:albert2'],
  );
});

test('names: accents, letters of their own, and other alphabets', () => {
  assertFinds(
    { names: ['Müller-Łukaszewicz^Zoë Ångström'] },
    ['muller', 'MÜLLER', 'Mu\u0308ller', 'lukaszewicz', 'zoe angstrom'],
    ['mueller'],
  );
  assertFinds(
    { names: ['Østergård^Søren Æneas Weiß'] },
    ['ostergard', 'soren', 'aeneas', 'weiss', 'WEISS'],
    ['xstergard'],
  );
  assertFinds(
    { names: ['Yamada^Tarou', '山田^太郎', 'やまだ^たろう'] },
    ['山田', '太郎', '山田太郎', '山田 太郎', '太郎 山田', 'ヤマダ', 'ﾔﾏﾀﾞ', 'やまだたろう', 'yamada 太郎'],
    ['山本', '太山'],
  );
  assertFinds({ names: ['Hong^Gildong', '洪^吉洞', '홍^길동'] }, ['홍길동', '길동', 'hong 洪'], ['김']);
  assertFinds({ names: ['محمد^أحمد'] }, ['محمد', 'احمد'], ['سارة']);
  assertFinds({ names: ['Иванов^Иван'] }, ['иванов', 'ИВАН'], ['петров']);
});

test('Patient ID, accession number, description, UID', () => {
  const values = {
    patientId: 'PAT-0042,X',
    accession: 'A123.45',
    description: 'CT Thorax, nativ (low dose)',
    modalities: ['CT'],
  };
  assertFinds(
    values,
    [
      'pat-0042',
      '0042',
      '42,x',
      'A123',
      'acc:a123.45',
      'id:pat',
      'thorax',
      'desc:nativ',
      'desc:"thorax nativ"',
      'low dose',
      '(low',
      '1.2.3',
      'uid:1.2',
      'thorax 0042 a123',
    ],
    ['id:a123', 'acc:pat', 'desc:pat', 'desc:"nativ thorax"', 'PAT-0043', 'uid:1.3'],
  );
});

test('modalities are whole words', () => {
  assertFinds(
    { modalities: ['CT', 'SR'], description: 'Fracture' },
    ['ct', 'CT', 'ct sr', 'mod:ct', 'modality:SR'],
    ['mr', 'mod:mr', 'mod:c'],
  );
  assertFinds({ modalities: ['MR'], description: 'Fracture spect doctor' }, ['mr', 'frac', 'spect'], ['ct']);
  assertFinds({ modalities: [], description: 'CT-guided biopsy' }, ['ct'], ['mod:ct']);
});

test('dates: years, months, days, ranges, and what is half typed', () => {
  assertFinds(
    { date: '20240317' },
    [
      '2024',
      '2024-',
      '2024-0',
      '2024-03',
      '2024-3',
      '202403',
      '2024-03-1',
      '2024-03-17',
      '2024/03/17',
      '2024.03.17',
      '20240317',
      '17.03.2024',
      '17.3.2024',
      '2024-3-17',
      '2023..2024',
      '2024-01..2024-06',
      '2024-03-17..',
      '..2024-03',
      '2020-2024',
      '20240101-20240401',
      '20240317-',
      '-20240317',
      '>2023',
      '>=2024',
      '<2025',
      '<=2024-03',
      'date:2024',
      'date:2023..2025',
    ],
    [
      '2023',
      '2024-02',
      '2024-1',
      '2024-03-18',
      '20240318',
      '18.03.2024',
      '2025..',
      '..2023',
      '2020..2024-02',
      '2020-2023',
      '>2024',
      '<2024',
      '<2024-03-17',
      'date:2023',
      '3024',
    ],
  );
  assertFinds({ date: '', description: 'Follow-up of 2024' }, ['2024'], ['date:2024', '2023..2025']);
  assertFinds({ date: 'unknown' }, [], ['2024', '>1900', 'date:unknown']);
  assertFinds({ date: '20240317' }, ['date:', 'date:2', 'date:>20', 'date:2023..20'], ['date:foo', 'date:2024x', 'date:"last year"']);
  assertFinds({ date: '20240317', names: ['Smith^A'] }, ['smith 2024', '2024 smith'], ['smith 2023']);
  assert.deepEqual(readDates('2024-03'), ['20240300', '20240399']);
  for (const word of ['smith', '12', '1.2.840', 'A2024', '..', '-', '2024-03-17-05', '99999'])
    assert.equal(readDates(word), null, word);
});

test('words with colons and quotes that mean nothing special', () => {
  assertFinds(
    { description: 'Ratio 3:1 axial', accession: 'X:7' },
    ['3:1', 'x:7', '"3:1 axial"', '"axial', '""', 'id:', 'name:""'],
    ['y:7'],
  );
});

test('nothing in a search is a pattern', () => {
  assertFinds({ description: 'a.b*c (x) [y] \\d' }, ['a.b*c', '(x)', '[y]', '\\d'], ['a.c', '.*', '(?:']);
  assert.equal(
    compileSearch('c.t', ['C.T'])(study({ description: 'cat' }), searchText(study({ description: 'cat' }))),
    false,
  );
});

test('folding is the same however often it is done', () => {
  for (const text of ['Müller', 'ﾔﾏﾀﾞ', '홍길동', 'İstanbul', 'ẞ', 'Å', 'ŉ', 'ǆ', 'Ω'])
    assert.equal(fold(fold(text)), fold(text), text);
});

test('facets', () => {
  const passes = (view, values) => Object.values(compileFacets(view)).every((test) => test(study(values)));
  const values = { modalities: ['CT', 'SEG'], date: '20240317' };
  for (const view of [
    {},
    { modalities: ['CT'] },
    { modalities: ['MR', 'SEG'] },
    { from: '2024-03-17' },
    { to: '2024-03-17' },
    { from: '2024-01-01', to: '2024-12-31', modalities: ['CT'] },
  ]) {
    assert.equal(passes(view, values), true, JSON.stringify(view));
  }
  for (const view of [
    { modalities: ['MR'] },
    { from: '2024-03-18' },
    { to: '2024-03-16' },
    { modalities: ['CT'], to: '2020-01-01' },
  ])
    assert.equal(passes(view, values), false, JSON.stringify(view));
  assert.equal(passes({ to: '2024-01-01' }, { date: '' }), false, 'what has no date is in no range');
  assert.deepEqual(countModalities([values, { modalities: ['CT'] }, { modalities: ['AU', 'SEG', 'CT'] }]), [
    ['CT', 3],
    ['SEG', 2],
    ['AU', 1],
  ]);
});

test('sorting: every column, both directions, nothing last, equals in order', () => {
  const studies = [
    study({
      uid: '1',
      name: 'Östberg',
      patientId: 'P10',
      date: '20240101',
      time: '0900',
      seriesCount: 2,
      instanceCount: 9,
      modalities: ['MR'],
      description: 'b',
      accession: '9',
    }),
    study({
      uid: '2',
      name: 'oakley',
      patientId: 'P2',
      date: '20240101',
      time: '1000',
      seriesCount: 10,
      instanceCount: 100,
      modalities: ['CT'],
      description: 'A',
      accession: '10',
    }),
    study({ uid: '3' }),
    study({
      uid: '4',
      name: 'Zeta',
      patientId: 'P2',
      date: '19991231',
      seriesCount: 1,
      instanceCount: 9,
      modalities: ['CT', 'SR'],
      description: 'a',
      accession: '8',
    }),
  ];
  const expected = {
    name: ['2143', '4123'],
    id: ['2413', '1243'],
    date: ['4123', '2143'],
    description: ['2413', '1243'],
    accession: ['4123', '2143'],
    modality: ['2413', '1423'],
    series: ['4123', '2143'],
    instances: ['1423', '2143'],
  };
  for (const [column, orders] of Object.entries(expected)) {
    const found = [false, true].map((descending) =>
      sortStudies(studies, column, descending)
        .map(({ uid }) => uid)
        .join(''),
    );
    assert.deepEqual(found, orders, column);
  }
});

test('a view is the same after it was an address', () => {
  const first = { search: '', modalities: [], from: '', to: '', column: 'date', descending: true, open: [] };
  assert.equal(writeView(first), '');
  assert.deepEqual(readView(''), first);
  const views = [
    { ...first, search: 'Müller & "x" #1 +2 100%' },
    {
      ...first,
      modalities: ['CT', 'MR'],
      from: '2024-01-01',
      to: '2024-12-31',
      column: 'name',
      descending: false,
      open: ['1.2', '1.3'],
    },
    { ...first, descending: false },
    { ...first, column: 'instances', descending: true },
  ];
  for (const view of views) assert.deepEqual(readView(writeView(view)), view);
  assert.deepEqual(readView('#sort=constructor&from=x&to=2024&open='), first);
});
