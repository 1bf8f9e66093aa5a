// A player that has the choice among sizes, on a line that becomes slow and fast again.
import { readdirSync, readFileSync } from 'node:fs';
import { broadcast, need, open, tellAll, untilPicture } from './browser.mjs';

const publisher = broadcast(need('TALLY_RTMP_URL'), need('TALLY_STREAM_KEY'));
const pages = {};
let line;

/** So many kilobits a second; without a number as fast as the machine. */
const limit = (kbps) =>
  line.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 20,
    downloadThroughput: kbps ? (kbps * 1000) / 8 : -1,
    uploadThroughput: -1,
  });

/** Whoever makes a smaller size stands still, as on a machine without a processor for it, until the site gives it up. */
function holdMakers() {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('scale=-2:144')) process.kill(Number(pid), 'SIGSTOP');
    } catch {
      // It ended meanwhile.
    }
  }
}

const untilHeight = (height) =>
  pages.viewer.waitForFunction((height) => document.querySelector('video')?.videoHeight === height, height, {
    timeout: 60_000,
  });

await tellAll(
  {
    'it plays what is sent': async () => {
      pages.viewer = await open(`/view/${need('TALLY_LOC')}/`);
      line = await pages.viewer.context().newCDPSession(pages.viewer);
      await line.send('Network.enable');
      await untilPicture(pages.viewer);
      await untilHeight(360);
    },
    'it takes the smaller size when the line is slow': async () => {
      await limit(450);
      await untilHeight(144);
    },
    'it comes back to the smaller size when that could not be made for a while': async () => {
      const holding = setInterval(holdMakers, 100);
      try {
        await untilHeight(360);
      } finally {
        clearInterval(holding);
      }
      await untilHeight(144);
    },
    'it takes the larger one again': async () => {
      await limit();
      await untilHeight(360);
    },
    'it takes the one that is chosen, however fast the line is': async () => {
      const { viewer } = pages;
      await viewer.getByRole('button', { name: 'Quality' }).press('Enter');
      await viewer.getByRole('menuitemradio', { name: '144p' }).press('Enter');
      await untilHeight(144);
    },
  },
  pages,
  () => publisher.kill('SIGKILL'),
);
