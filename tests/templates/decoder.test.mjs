// What stillframe.js hands to the decoder that OHIF 3.13 and 3.14 bundle: every prefix, of every frame of a tree (TREE).
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { planStack, planVolume } from '../../templates/stillframe.js';

const E2E = path.join(import.meta.dirname, '..', 'e2e', 'package.json');
const DEEPEST = 3; // what Cornerstone asks for, at most
const { log } = console;
let codec;

before(async () => {
  console.log = () => {}; // the decoder greets
  codec = await createRequire(E2E)('codec-openjph-of-ohif')();
});
after(() => (console.log = log));

function decode(bytes, level) {
  const decoder = new codec.HTJ2KDecoder();
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decodeSubResolution(level);
    return Buffer.from(decoder.getDecodedBuffer());
  } finally {
    decoder.delete();
  }
}

/** The frames of a tree: cuts, bytes, and the variant halved twice. */
function readFrames(tree) {
  const paths = readdirSync(tree, { recursive: true }).filter((name) => name.endsWith(`${path.sep}frame-index`));
  return paths.flatMap((name) => {
    const instances = path.join(tree, path.dirname(name), 'instances');
    const { groups } = JSON.parse(readFileSync(path.join(tree, name)));
    return groups.flatMap(({ levels, instances: rows }) =>
      Object.entries(rows).flatMap(([uid, frames]) =>
        frames.map((row, index) => {
          const reduced = path.join(instances, uid, 'reduced', '2', 'frames', String(index + 1));
          return {
            name: `${uid} ${index + 1}`,
            cuts: row.map((end, place) => ({ ...levels[place], end })),
            bytes: readFileSync(path.join(instances, uid, 'frames', String(index + 1))),
            reduced: existsSync(reduced) ? readFileSync(reduced) : undefined,
          };
        }),
      ),
    );
  });
}

/** What may be handed over of a frame, in viewports of every size, on every line, and in volumes of such frames. */
function prefixes(cuts) {
  const sizes = [...Array(13).keys()].map((step) => ({ width: 2 ** step, height: 2 ** step }));
  const planned = sizes.flatMap((size) => [10, 1e9].flatMap((speed) => planStack(cuts, size, speed).cuts));
  const level = planVolume([cuts]);
  return new Set([...planned, ...cuts.filter(({ decodeLevel }) => decodeLevel === level)]);
}

function decodes(bytes, level) {
  try {
    return Boolean(decode(bytes, level));
  } catch {
    return false;
  }
}

test('every prefix decodes, to the reduced image', () => {
  const all = readFrames(process.env.TREE);
  const frames = all.filter(({ bytes }) => decodes(bytes, 0));
  const others = all.filter((frame) => !frames.includes(frame));
  assert.deepEqual(others.map(({ cuts }) => cuts.at(-1).width * cuts.at(-1).height), [9]); // fails on all of 3 x 3 pixels
  let count = 0;
  for (const { name, cuts, bytes, reduced } of frames) {
    assert.equal(cuts.at(-1).end, bytes.length, name);
    for (const { end, decodeLevel } of prefixes(cuts)) {
      const asked = Math.min(decodeLevel, DEEPEST);
      const picture = decode(bytes.subarray(0, end), asked);
      if (asked === decodeLevel) assert.ok(picture.equals(decode(bytes, decodeLevel)), `${name} at level ${decodeLevel}`);
      else decode(bytes.subarray(0, end), decodeLevel);
      if (decodeLevel === 2 && reduced) assert.ok(picture.equals(decode(reduced, 0)), `${name}, its reduced variant`);
      count += 1;
    }
  }
  log(`# ${count} prefixes of ${frames.length} frames`);
  assert.ok(frames.length > 20 && count > 2 * frames.length);
});

test('a cut inside a resolution is what it fails on', () => {
  const inside = readFrames(process.env.TREE).flatMap(({ cuts, bytes }) =>
    cuts.slice(1).map(({ end, decodeLevel }, index) => [bytes.subarray(0, Math.floor((cuts[index].end + end) / 2)), decodeLevel]),
  );
  const failed = inside.filter(([bytes, level]) => !decodes(bytes, Math.min(level, DEEPEST)));
  assert.ok(failed.length > 10, `${failed.length} of ${inside.length}`);
});
