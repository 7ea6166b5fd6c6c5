// One JSON line per event on standard output; leaves after the expected count.
import { writeSync } from 'node:fs';

/** Writes all of `text`, also into a full pipe. */
function write(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

/** Reads `URL COUNT [EVENT_NAME ...]` and LAST_EVENT_ID. */
export function readArguments() {
  const [url, count, ...names] = process.argv.slice(2);
  if (!url || !(Number(count) > 0)) {
    console.error('usage: URL COUNT [EVENT_NAME ...]');
    process.exit(2);
  }
  return { url, count: Number(count), names, lastEventId: process.env.LAST_EVENT_ID || null };
}

/** Returns the function that reports one event. */
export function reporter(count) {
  let seen = 0;
  return (id, event, data) => {
    write(JSON.stringify({ id, event, data }) + '\n');
    seen += 1;
    if (seen >= count) process.exit(0);
  };
}
