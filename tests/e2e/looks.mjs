// Whether what must be seen is seen: one function for each sort of look, of what it finds on the page.
import { canvases, paneImage } from './page.mjs';
import { chroma, compare, fit, gridOf } from './pictures.mjs';

/** @returns {Promise<{right: boolean, seen: string}>} what a page shows, against what a look asks for */
export async function judge(page, look, selectors) {
  return JUDGES[look.sort](page, look, selectors);
}

const JUDGES = {
  async picture(page, look, { canvas }) {
    const drawn = await canvases(page, canvas);
    return judgePictures(drawn, look);
  },

  /** As on the screen, since contours are drawn beside the canvas. */
  async overlay(page, look, { canvas }) {
    const image = await paneImage(page, canvas);
    if (!image) return { right: false, seen: 'no canvas' };
    const [expected] = look.grids;
    const grid = gridOf(image, fit(image.width, image.height, look.aspects[0]), expected.length);
    const outside = compare(grid, expected, (y, x) => look.mask[y][x] < 5);
    const isAll = look.mask.flat().every((share) => share >= 5);
    const marked = [];
    const most = Math.max(...look.mask.flat()); // a cell that is all region, or that an outline crosses
    const share = Math.min(1, most / 255);
    grid.forEach((row, y) => row.forEach((cell, x) => look.mask[y][x] > most * 0.9 && marked.push(chroma(cell))));
    const coloured = marked.filter((value) => value > 12 * share ** 2).length / marked.length;
    const right = (isAll || outside.difference <= look.tolerance) && coloured > 0.7;
    const around = isAll ? '' : `${say(outside)} outside, `;
    return { right, seen: `${around}${Math.round(coloured * 100)} % of the region coloured` };
  },

  async text(page, look, { panes }) {
    const seen = (await page.locator(panes).allInnerTexts()).join('\n');
    const lost = look.words.filter((word) => !seen.includes(word));
    return { right: lost.length === 0, seen: lost.length ? `without ${lost.join(', ')}` : 'all words' };
  },

  /** As on the screen, of a canvas that does not keep what it has drawn. */
  async screen(page, look, { canvas }) {
    const image = await paneImage(page, canvas);
    return judgePictures(image ? [image] : [], look);
  },

  /** Ink of traces, which are the only thing of all colours, in equal parts of a canvas, from left to right, against how much the signals vary there. */
  async traces(page, look, { canvas }) {
    const [image] = await canvases(page, canvas);
    if (!image) return { right: false, seen: 'no canvas' };
    const ink = new Array(look.numbers.length).fill(0);
    for (let index = 0; index < image.width * image.height; index += 1) {
      const part = Math.floor(((index % image.width) * ink.length) / image.width);
      ink[part] += Math.min(...image.data.subarray(index * 4, index * 4 + 3));
    }
    const { correlation } = compare([ink.map((value) => [value])], [look.numbers.map((value) => [value])]);
    return { right: correlation >= look.correlation, seen: `correlation ${correlation.toFixed(3)} of ink and signals` };
  },

  async document(page, look, { panes }) {
    const types = await page.locator(panes).locator('object, embed, iframe').evaluateAll((holders) =>
      Promise.all(
        holders.map(async (holder) => {
          const response = await fetch(holder.data ?? holder.src);
          return response.ok ? response.headers.get('content-type') : `status ${response.status}`;
        }),
      ),
    );
    const there = types.some((type) => type?.startsWith(look.words[0]));
    const image = there ? await paneImage(page, 'object, embed, iframe') : null;
    const white = image ? shareOfWhite(image) : 0;
    return { right: white > 0.1, seen: `${types.join(', ') || 'no document'}, ${Math.round(white * 100)} % white` };
  },
};

/** Of a page of a document, which is white. */
function shareOfWhite({ data }) {
  let count = 0;
  for (let offset = 0; offset < data.length; offset += 4) count += Math.min(data[offset], data[offset + 1], data[offset + 2]) > 250;
  return count / (data.length / 4);
}

function judgePictures(drawn, look) {
  if (drawn.length !== look.grids.length) {
    return { right: false, seen: `${drawn.length} canvases, not ${look.grids.length}` };
  }
  const found = look.grids.map((expected, index) => {
    const image = drawn[index];
    return compare(gridOf(image, fit(image.width, image.height, look.aspects[index]), expected.length), expected);
  });
  const right = found.every(
    ({ difference, correlation }) => difference <= look.tolerance && correlation >= look.correlation,
  );
  return { right, seen: found.map(say).join('; ') };
}

const say = ({ difference, correlation }) => `difference ${difference.toFixed(1)}, correlation ${correlation.toFixed(3)}`;
