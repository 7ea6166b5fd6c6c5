// npm `eventsource`: the WHATWG interface for Node. It reconnects by itself.
import { EventSource } from 'eventsource';
import { readArguments, reporter } from './report.mjs';

const { url, count, names, lastEventId } = readArguments();
const report = reporter(count);

// The interface has no way to set the first cursor, so it goes into the first request by the
// `fetch` that the library accepts; the library's own cursor wins as soon as it has one.
const source = new EventSource(url, {
  fetch: (input, init) => {
    const headers = { ...init.headers };
    if (lastEventId && !headers['Last-Event-ID']) headers['Last-Event-ID'] = lastEventId;
    return fetch(input, { ...init, headers });
  },
});
const hear = (event) => report(event.lastEventId, event.type, event.data);
source.addEventListener('message', hear);
for (const name of names) source.addEventListener(name, hear);
source.addEventListener('error', (event) => {
  if (source.readyState === source.CLOSED) {
    console.error(`gave up: ${event.code ?? ''} ${event.message ?? ''}`);
    process.exit(1);
  }
});
