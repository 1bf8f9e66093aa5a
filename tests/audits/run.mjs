// Runs every audit of npm's graphql-http against the URL given, prints what is not right, and ends with 0 only
// when all of them pass, the SHOULDs and the MAYs too.
//
//   node run.mjs http://127.0.0.1:4000/graphql
import { serverAudits } from 'graphql-http';

const EXPECTED = 61;
const url = process.argv[2];
if (!url) {
  console.error('usage: node run.mjs URL');
  process.exit(2);
}

const results = [];
for (const audit of serverAudits({ url })) {
  results.push(await audit.fn());
}
const failed = results.filter((result) => result.status !== 'ok');
for (const result of failed) {
  console.log(`${result.status}: ${result.id} ${result.name}: ${result.reason}`);
}
console.log(`${results.length - failed.length} of ${results.length} audits pass`);
process.exit(failed.length === 0 && results.length === EXPECTED ? 0 : 1);
