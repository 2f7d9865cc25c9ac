// What counts as the right picture, by pictures that are not: `node --test` runs it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chroma, compare, fit, gridOf } from './pictures.mjs';

const SIZE = 24;
const [WIDTH, HEIGHT] = [480, 360];

/** A disc on a slope, the disc red, as an image of 4 bytes a pixel; `change` maps place and colour of a pixel. */
function draw(change = (x, y, colour) => colour(x, y)) {
  const colour = (x, y) => {
    const inside = (x - 140) ** 2 + (y - 100) ** 2 < 60 ** 2;
    return inside ? [230, 40, 30] : [60 + x / 4, 60 + x / 4, 60 + y / 4];
  };
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 4);
  for (let y = 0; y < HEIGHT; y += 1) {
    for (let x = 0; x < WIDTH; x += 1) data.set([...change(x, y, colour), 255], (y * WIDTH + x) * 4);
  }
  return { data, width: WIDTH, height: HEIGHT };
}

const whole = { left: 0, top: 0, width: WIDTH, height: HEIGHT };
const expected = gridOf(draw(), whole, SIZE);

function isRight(image, part = whole) {
  const { difference, correlation } = compare(gridOf(image, part, SIZE), expected);
  return difference <= 6 && correlation >= 0.98;
}

test('the picture itself is right, and a level or two do not matter', () => {
  assert.ok(isRight(draw()));
  assert.ok(isRight(draw((x, y, colour) => colour(x, y).map((value) => value + ((x + y) % 5) - 2))));
});

const wrong = {
  black: () => [0, 0, 0],
  white: () => [255, 255, 255],
  'mirrored left to right': (x, y, colour) => colour(WIDTH - 1 - x, y),
  'upside down': (x, y, colour) => colour(x, HEIGHT - 1 - y),
  inverted: (x, y, colour) => colour(x, y).map((value) => 255 - value),
  'in another order of colours': (x, y, colour) => colour(x, y).reverse(),
  'in a wider window': (x, y, colour) => colour(x, y).map((value) => 64 + value / 2),
  'grey instead of coloured': (x, y, colour) => Array(3).fill(colour(x, y).reduce((sum, value) => sum + value) / 3),
  'shifted by a tenth': (x, y, colour) => colour((x + WIDTH / 10) % WIDTH, y),
  'of half the size': (x, y, colour) => colour(Math.min(WIDTH, x * 2), Math.min(HEIGHT, y * 2)),
};
for (const [name, change] of Object.entries(wrong)) {
  test(`a picture ${name} is wrong`, () => assert.ok(!isRight(draw(change))));
}

test('an image is fitted into its canvas, in its middle', () => {
  assert.deepEqual(fit(800, 600, 2), { left: 0, top: 100, width: 800, height: 400 });
  assert.deepEqual(fit(800, 600, 0.5), { left: 250, top: 0, width: 300, height: 600 });
});

test('a part of an image is compared alone, whatever lies around it', () => {
  const part = { left: 120, top: 90, width: 240, height: 180 };
  const small = draw((x, y, colour) => {
    const [u, v] = [(x - part.left) * 2, (y - part.top) * 2];
    return u >= 0 && v >= 0 && u < WIDTH && v < HEIGHT ? colour(u, v) : [0, 255, 0];
  });
  assert.ok(isRight(small, part));
  assert.ok(!isRight(small));
});

test('a picture of one colour correlates with nothing', () => {
  const flat = gridOf(draw(() => [9, 9, 9]), whole, SIZE);
  assert.equal(compare(flat, expected).correlation, 0);
});

test('colour is told from grey', () => {
  assert.equal(chroma([7, 7, 7]), 0);
  assert.equal(chroma([200, 40, 90]), 160);
});
