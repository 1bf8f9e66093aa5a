// The site's pages in a real browser while somebody broadcasts: what a visitor sees must become true by itself.
//
//   TALLY_URL=http://127.0.0.1:8080 TALLY_RTMP_URL=rtmp://127.0.0.1:1935/live TALLY_LOC=… TALLY_STREAM_KEY=… \
//     [TALLY_SCREENSHOTS=DIR] [TALLY_BROWSER=/usr/bin/chromium] node run.mjs
//
// Nobody may be live when it starts. It ends with 0 when all is well, and says what is not.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { arrival, broadcast, complaints, need, open, PHONE, picture, site, tellAll, untilPicture } from './browser.mjs';

const [rtmp, loc, key] = ['TALLY_RTMP_URL', 'TALLY_LOC', 'TALLY_STREAM_KEY'].map(need);
const pages = {};
let ffmpeg;

const stories = {
  async 'the front page says that nobody is live'() {
    const page = (pages.home = await open('/'));
    await page.locator('[data-test=empty]').waitFor();
    await picture(page, 'home-empty');
    const phone = await open('/', { ...PHONE, colorScheme: 'light' });
    await phone.locator('[data-test=empty]').waitFor();
    await picture(phone, 'home-empty-phone-light');
    await phone.context().close();
  },

  async 'a channel off the air says so'() {
    const page = (pages.view = await open(`/view/${loc}/`));
    await page.locator('[data-phase=off]').waitFor();
    await picture(page, 'view-off');
  },

  async 'GraphiQL waits for events'() {
    const page = (pages.graphiql = await open('/graphiql'));
    await page.locator('.graphiql-query-editor .view-lines').waitFor({ timeout: 30_000 });
    await picture(page, 'graphiql');
    // Whatever its tabs are called, the one about stream events is among them.
    await page.locator('.graphiql-tab', { hasText: 'StreamEvents' }).click();
    await page.locator('.graphiql-query-editor', { hasText: 'streamEvents' }).waitFor();
    await page.locator('.graphiql-execute-button').click();
    // The button turns into one that stops.
    await page.locator('.graphiql-execute-button[aria-label^=Stop]').waitFor();
    await sleep(1_000);
  },

  async 'a broadcast begins, and everything open shows it by itself'() {
    ffmpeg = broadcast(rtmp, key);
    const { home, view, graphiql } = pages;
    await response(graphiql, 'StreamStarted');
    await picture(graphiql, 'graphiql-event');
    await home.locator(`[data-test=stream-card][data-loc="${loc}"]`).waitFor();
    await view.locator('[data-phase=live]').waitFor();
  },

  async 'the picture moves'() {
    const { view } = pages;
    await untilPicture(view);
    const look = () =>
      view.evaluate(() => {
        const video = document.querySelector('video');
        return { at: video.currentTime, width: video.videoWidth, src: video.currentSrc };
      });
    const before = await look();
    await sleep(3_000);
    const after = await look();
    assert.ok(after.width > 0, 'there is a picture');
    assert.ok(after.at - before.at > 1.5, `it moves: from ${before.at} to ${after.at} in 3 s`);
    assert.match(after.src, /^blob:/, "the player's own engine plays");
  },

  async 'who has paused goes back to live'() {
    const { view } = pages;
    const back = view.locator('[data-test=back-to-live]');
    // By keyboard, while the player has the focus: the controls themselves are hidden from an idle pointer.
    for (const goBack of [() => back.click(), () => view.keyboard.press('l')]) {
      await view.locator('.vjs-play-control').focus();
      await view.keyboard.press('k');
      await back.waitFor();
      await goBack();
      await back.waitFor({ state: 'detached' });
      await untilPicture(view);
    }
  },

  async 'one viewer is counted, on both pages'() {
    const card = pages.home.locator('[data-test=stream-card]');
    for (const place of [pages.view, card]) {
      await place.locator('[data-test=viewers]', { hasText: /^1$/ }).waitFor();
    }
    await picture(pages.view, 'view-live');
    const phone = await open(`/view/${loc}/`, { ...PHONE, colorScheme: 'light' });
    await untilPicture(phone);
    await picture(phone, 'view-live-phone-light');
    await pages.view.locator('[data-test=viewers]', { hasText: /^2$/ }).waitFor();
    await phone.context().close();
  },

  async 'the card shows a picture of the broadcast'() {
    const real = async () => {
      const at = (path) => fetch(site + path).then((answer) => answer.arrayBuffer());
      const [shown, placeholder] = await Promise.all(
        [loc, 'placeholder'].map((name) => at(`/stream-thumb/${name}.png`)),
      );
      return Buffer.compare(Buffer.from(shown), Buffer.from(placeholder)) !== 0;
    };
    for (let tries = 0; !(await real()); tries++) {
      assert.ok(tries < 40, 'no picture is taken');
      await sleep(500);
    }
    const page = await open('/');
    const card = page.locator(`[data-test=stream-card][data-loc="${loc}"]`);
    await card.waitFor();
    await page.waitForFunction(() => document.querySelector('.card-picture img')?.naturalWidth > 0);
    await picture(page, 'home-live');
    await card.hover();
    await page.waitForFunction(() => document.querySelectorAll('.card-picture img')[1]?.naturalWidth > 0);
    await picture(page, 'home-live-hover');
    await card.locator('a').click();
    await page.locator('[data-phase=live]').waitFor();
    await page.context().close();
  },

  async 'no page pushes its content about while it comes'() {
    for (const path of ['/', `/view/${loc}/`, '/sign-in']) {
      for (const options of [{}, PHONE]) {
        const came = await arrival(path, options);
        console.log(`        ${path} ${JSON.stringify(came)}`);
        assert.ok(came.shift < 0.05, `${path} shifts by ${came.shift}`);
      }
    }
  },

  async 'who goes back sees what was, and then goes back to live'() {
    const { view } = pages;
    const asked = new Set();
    view.on('request', (request) => asked.add(new URL(request.url()).pathname.split('/').at(-1)));
    /** How far the picture is behind the newest that could be played. */
    const behind = () =>
      view.evaluate(() => {
        const { player } = document.querySelector('.video-js');
        return player.seekable().end(0) - player.currentTime();
      });
    const atLive = await behind();
    await view.locator('.vjs-play-control').focus();
    await view.keyboard.press('j');
    const back = view.locator('[data-test=back-to-live]');
    await back.waitFor();
    for (let tries = 0; (await behind()) < atLive + 7; tries++) {
      assert.ok(tries < 50, `it is ${await behind()} s behind, and was ${atLive}`);
      await sleep(200);
    }
    await untilPicture(view);
    assert.ok(asked.has('dvr.m3u8'), 'by the longer playlist');
    await view.getByTitle('Go back 10 seconds').click();
    for (let tries = 0; (await behind()) < atLive + 15; tries++) {
      assert.ok(tries < 50, `it is ${await behind()} s behind, and was ${atLive}`);
      await sleep(200);
    }
    await untilPicture(view);
    await picture(view, 'view-back');
    await back.click();
    await back.waitFor({ state: 'detached' });
    await view.waitForRequest(/index\.m3u8$/);
    await untilPicture(view);
    assert.ok((await behind()) < atLive + 4, `it is ${await behind()} s behind, and was ${atLive}`);
  },

  async 'the publisher is lost, and the picture goes on by itself when it is back'() {
    const { view } = pages;
    const at = () => view.evaluate(() => document.querySelector('video').currentTime);
    const opened = await view.evaluate(() => performance.timeOrigin);
    ffmpeg.kill('SIGKILL');
    await view.locator('[data-phase=interrupted]').waitFor();
    ffmpeg = broadcast(rtmp, key);
    await view.locator('[data-phase=live]').waitFor();
    await untilPicture(view);
    const before = await at();
    // Longer than what a player has in store: these pictures are of the publisher that came back.
    await view.waitForFunction((before) => document.querySelector('video').currentTime > before + 6, before);
    assert.equal(await view.evaluate(() => performance.timeOrigin), opened, 'nobody has loaded the page again');
    assert.ok(ffmpeg.exitCode === null, 'the publisher was let in');
  },

  async 'the broadcast ends, and everything open shows that by itself'() {
    ffmpeg.kill('SIGINT');
    const { home, view, graphiql } = pages;
    await view.locator('[data-phase=interrupted]').waitFor();
    await picture(view, 'view-interrupted');
    await response(graphiql, 'StreamStopped');
    await home.locator('[data-test=stream-card]').waitFor({ state: 'detached' });
    await home.locator('[data-test=empty]').waitFor();
    await view.locator('[data-phase=off]').waitFor();
    await view.locator('[data-test=viewers]', { hasText: /^0$/ }).waitFor();
    await picture(view, 'view-ended');
  },

  async 'an address that leads nowhere says so'() {
    const page = await open('/view/00000000-0000-4000-8000-000000000000/');
    await page.locator('[data-test=not-found]').waitFor();
    await picture(page, 'not-found');
  },

  async 'no page asks elsewhere, breaks its policy or complains'() {
    assert.deepEqual(complaints, []);
  },
};

/** Waits until GraphiQL's answer holds that word. */
async function response(page, word) {
  const pane = page.locator('.graphiql-response');
  await pane.filter({ hasText: word }).waitFor({ timeout: 30_000 });
}

await tellAll(stories, pages, () => ffmpeg?.kill('SIGKILL'));
