// npm `@microsoft/fetch-event-source`: written for browsers, so it gets the two globals it uses.
import { createRequire } from 'node:module';
import { readArguments, reporter } from './report.mjs';

globalThis.window = { fetch, setTimeout, clearTimeout };
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const require = createRequire(import.meta.url);
const { fetchEventSource } = require('@microsoft/fetch-event-source');

const { url, count, lastEventId } = readArguments();
const report = reporter(count);

await fetchEventSource(url, {
  headers: lastEventId ? { 'last-event-id': lastEventId } : {},
  openWhenHidden: true,
  onmessage: (message) => report(message.id, message.event || 'message', message.data),
  onclose: () => {
    // A clean end is final for this library unless the caller says otherwise.
    throw new Error('stream ended');
  },
});
