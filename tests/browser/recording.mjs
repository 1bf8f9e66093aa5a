// A recording, found on the front page and played to its very end.
import assert from 'node:assert/strict';
import { open, tellAll, untilPicture } from './browser.mjs';

const pages = {};

await tellAll(
  {
    'the front page offers it': async () => {
      pages.viewer = await open('/');
      await pages.viewer.locator('[data-test=recent-recording] a').click();
      await pages.viewer.locator('[data-test=recording]').waitFor();
    },
    'it plays, all of it': async () => {
      const { viewer } = pages;
      await untilPicture(viewer);
      // Where it has breaks the picture goes on; nobody has the patience to see it at its own pace.
      const played = await viewer.evaluate(async () => {
        const video = document.querySelector('video');
        video.muted = true;
        video.playbackRate = 2;
        await video.play();
        if (!video.ended) await new Promise((ended) => video.addEventListener('ended', ended, { once: true }));
        return { at: video.currentTime, long: video.duration, error: video.error?.message ?? null };
      });
      assert.equal(played.error, null);
      assert.ok(played.long >= 9 && played.long - played.at < 0.5, JSON.stringify(played));
    },
  },
  pages,
  () => {},
);
