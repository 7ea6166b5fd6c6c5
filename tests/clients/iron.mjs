// Seals and unseals with the two npm packages of the Fe26.2 form.
//
// One JSON object per line on standard input, {"package","do","password","value"}, one per line on
// standard output, {"value"} or {"error"}. `do` is "seal" (any value; also "ttl") or "unseal" (a
// sealed text).
import { createInterface } from 'node:readline';
import Hapi from '@hapi/iron';
import * as Web from 'iron-webcrypto';

const packages = { '@hapi/iron': Hapi, 'iron-webcrypto': Web };

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const { seal, unseal, defaults } = packages[asked.package];
  try {
    const value =
      asked.do === 'seal'
        ? await seal(asked.value, asked.password, { ...defaults, ttl: asked.ttl ?? 0 })
        : await unseal(asked.value, asked.password, defaults);
    console.log(JSON.stringify({ value }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
