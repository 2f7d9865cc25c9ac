// Pictures as grids of mean colours: what a canvas shows of an image that is fitted into it, and how near that is to
// what it must show.

/** Where an image of this width through height lies on a canvas that it is fitted into. */
export function fit(width, height, aspect) {
  const across = Math.min(width, height * aspect);
  const down = across / aspect;
  return { left: (width - across) / 2, top: (height - down) / 2, width: across, height: down };
}

/** Mean colours of size x size equal cells of a part of an image of 4 bytes a pixel. */
export function gridOf({ data, width, height }, part, size) {
  const edges = (start, length, limit) =>
    Array.from({ length: size + 1 }, (_, index) => Math.min(limit, Math.max(0, Math.round(start + (length * index) / size))));
  const columns = edges(part.left, part.width, width);
  const rows = edges(part.top, part.height, height);
  return Array.from({ length: size }, (_, row) =>
    Array.from({ length: size }, (_, column) => {
      const sums = [0, 0, 0];
      for (let y = rows[row]; y < rows[row + 1]; y += 1) {
        for (let x = columns[column]; x < columns[column + 1]; x += 1) {
          for (let sample = 0; sample < 3; sample += 1) sums[sample] += data[(y * width + x) * 4 + sample];
        }
      }
      const count = Math.max(1, (rows[row + 1] - rows[row]) * (columns[column + 1] - columns[column]));
      return sums.map((sum) => sum / count);
    }),
  );
}

/** Mean difference (of 255) and correlation of two grids, all colours together; `where` chooses cells. */
export function compare(drawn, expected, where = () => true) {
  const pairs = [];
  expected.forEach((row, y) =>
    row.forEach((cell, x) => {
      if (where(y, x)) cell.forEach((value, sample) => pairs.push([drawn[y][x][sample], value]));
    }),
  );
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [one, other] = [mean(pairs.map(([value]) => value)), mean(pairs.map(([, value]) => value))];
  const product = mean(pairs.map(([a, b]) => (a - one) * (b - other)));
  const spread = Math.sqrt(mean(pairs.map(([a]) => (a - one) ** 2)) * mean(pairs.map(([, b]) => (b - other) ** 2)));
  return {
    difference: mean(pairs.map(([a, b]) => Math.abs(a - b))),
    correlation: spread > 1e-9 ? product / spread : 0,
  };
}

/** How far a cell is from grey. */
export const chroma = (cell) => Math.max(...cell) - Math.min(...cell);
