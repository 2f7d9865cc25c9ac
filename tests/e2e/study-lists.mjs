// Lists of studies made for the study page's tests.

const FAMILIES = [
  'Smith',
  'Müller',
  'Nguyễn',
  'García',
  'Kowalski',
  'Østergård',
  'O’Brien',
  'Rossi',
  'Novák',
  'Baumgärtner-Hohenstein',
  'Иванов',
  'Παπαδόπουλος',
  'محمد',
  'כהן',
];
const GIVEN = ['Anna', 'John', 'María', 'Zoë', 'Jürgen', 'Wei', 'Katarzyna', 'Иван', 'Νίκος', 'أحمد', 'דוד'];
const IDEOGRAPHIC = [
  ['Yamada^Tarou', '山田^太郎', 'やまだ^たろう'],
  ['Hong^Gildong', '洪^吉洞', '홍^길동'],
  ['Wang^XiaoDong', '王^小东', ''],
];
const MODALITIES = [
  ['CT'],
  ['MR'],
  ['DX'],
  ['CR'],
  ['US'],
  ['MG'],
  ['CT', 'SEG'],
  ['CT', 'PT'],
  ['MR', 'SR'],
  ['SM'],
  ['DOC'],
  ['CT', 'RTDOSE', 'RTPLAN', 'RTSTRUCT'],
  ['CT', 'KO', 'MR', 'PR', 'SEG', 'SR'],
];
const DESCRIPTIONS = [
  'CT chest with contrast',
  'MR knee left',
  'Chest PA and lateral',
  'Screening mammography, bilateral',
  'PET/CT whole body (FDG)',
  'MRI of the brain with and without gadolinium, follow-up after radiosurgery, with perfusion and spectroscopy',
  'Schädel MRT',
  '',
];

/** Records as the list `studies` has them, with names in several alphabets; always the same. */
export function makeStudies(count) {
  let state = 1;
  const next = (below) => (state = (state * 48271) % 2147483647) % below; // Park and Miller's generator
  const pick = (list) => list[next(list.length)];
  const digits = (number, length) => String(number).padStart(length, '0');
  return Array.from({ length: count }, (_, index) => {
    const [alphabetic, ideographic, phonetic] = next(15) ? [`${pick(FAMILIES)}^${pick(GIVEN)}`] : pick(IDEOGRAPHIC);
    const name = Object.fromEntries(
      Object.entries({ Alphabetic: alphabetic, Ideographic: ideographic, Phonetic: phonetic }).filter(
        ([, group]) => group,
      ),
    );
    const uid = `1.2.826.0.1.3680043.10.543.9.${index + 1}`;
    const values = {
      '00080005': ['CS', 'ISO_IR 192'],
      '00080020': ['DA', `${2005 + next(21)}${digits(1 + next(12), 2)}${digits(1 + next(28), 2)}`],
      '00080030': ['TM', `${digits(next(24), 2)}${digits(next(60), 2)}12.345000`],
      '00080050': ['SH', `A${digits(next(10_000_000), 7)}`],
      '00080056': ['CS', 'ONLINE'],
      '00080061': ['CS', ...pick(MODALITIES)],
      '00080090': ['PN', { Alphabetic: 'Referring^Physician' }],
      '00081030': ['LO', pick(DESCRIPTIONS)],
      '00081190': ['UR', `studies/${uid}`],
      '00100010': ['PN', name],
      '00100020': ['LO', `P${next(100_000)}`],
      '00100030': ['DA', `${1930 + next(80)}0612`],
      '00100040': ['CS', pick(['F', 'M', 'O'])],
      '0020000D': ['UI', uid],
      '00200010': ['SH', '1'],
      '00201206': ['IS', 1 + next(30)],
      '00201208': ['IS', 1 + next(4000)],
    };
    return Object.fromEntries(
      Object.entries(values).map(([tag, [vr, ...value]]) => [tag, value[0] === '' ? { vr } : { vr, Value: value }]),
    );
  });
}

/** Records with texts that would do harm as markup, and two that no page can show. */
export function hostileStudies() {
  const record = (uid, name, more = {}) => ({
    '0020000D': { vr: 'UI', Value: [uid] },
    '00100010': { vr: 'PN', Value: [{ Alphabetic: name }] },
    ...more,
  });
  return [
    record('1.1', '<img src=x onerror=alert(1)>^</script><script>alert(2)</script>', {
      '00080061': { vr: 'CS', Value: ['"><svg onload=alert(3)>'] },
    }),
    record('1.2', 'javascript:alert(4)', {
      '00081030': { vr: 'LO', Value: [{ toString: 'x' }, null, '\u202egnihton'] },
    }),
    record('1.3', 'x'.repeat(1000), {
      '00100020': { vr: 'LO', Value: ['y'.repeat(1000)] },
      '00080061': { vr: 'CS', Value: 'CT' },
    }),
    record('1.4', null, {
      '00201206': { vr: 'IS', Value: ['__proto__'] },
      '00080020': { vr: 'DA', Value: ['yesterday'] },
    }),
    record('../../secret', 'A UID that is none'),
    null,
  ];
}
