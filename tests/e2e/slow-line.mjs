// A line of some megabits a second and some milliseconds there and back, between a browser and a server: whatever goes
// through it, on all its connections together.
import net from 'node:net';

const PIECE_BYTES = 16 * 1024;
const WAITING_BYTES = 128 * 1024; // of a connection, before its server has to wait

export async function startSlowLine(origin, { megabits, milliseconds }) {
  const { hostname, port } = new URL(origin);
  const bytesPerMs = (megabits * 1e6) / 8 / 1000;
  const sockets = new Set();
  let bytes = 0;
  let free = 0; // when the line has sent what it was given

  const server = net.createServer({ noDelay: true }, (browser) => {
    const upstream = net.connect({ host: hostname, port: Number(port), noDelay: true });
    for (const socket of [browser, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}); // its end follows, and ends the other one
      socket.on('close', () => sockets.delete(socket));
    }
    browser.on('close', () => upstream.destroy());
    // What the server sent before it closed is still on its way.
    upstream.on('close', () => setTimeout(() => browser.end(), Math.max(free - performance.now(), 0) + milliseconds));
    const connected = performance.now() + milliseconds; // a handshake
    const asked = [];
    browser.on('data', (data) => {
      asked.push(data);
      setTimeout(() => upstream.write(asked.shift()), Math.max(connected - performance.now(), 0) + milliseconds / 2);
    });
    const pieces = []; // timers that are due at almost the same time may run in any order, pieces may not
    let waiting = 0;
    upstream.on('data', (data) => {
      waiting += data.length;
      bytes += data.length;
      if (waiting > WAITING_BYTES) upstream.pause();
      for (let at = 0; at < data.length; at += PIECE_BYTES) {
        pieces.push(data.subarray(at, at + PIECE_BYTES));
        free = Math.max(free, performance.now()) + pieces.at(-1).length / bytesPerMs;
        setTimeout(() => {
          const piece = pieces.shift();
          if (!browser.destroyed) browser.write(piece);
          waiting -= piece.length;
          if (waiting <= WAITING_BYTES) upstream.resume();
        }, free + milliseconds / 2 - performance.now());
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    bytes: () => bytes,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
