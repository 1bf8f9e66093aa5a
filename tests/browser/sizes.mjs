// A player that has the choice among sizes, on a line that becomes slow and fast again.
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
