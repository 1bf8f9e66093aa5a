// A browser, what no page may do in it, and somebody who broadcasts: what the stories are told with.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const need = (name) => process.env[name] ?? assert.fail(`${name} is not set`);
export const site = need('TALLY_URL').replace(/\/$/, '');
const screenshots = process.env.TALLY_SCREENSHOTS;
const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executablePath = process.env.TALLY_BROWSER ?? browsers.find(existsSync);
if (screenshots) mkdirSync(screenshots, { recursive: true });

export const PHONE = { viewport: { width: 360, height: 780 } };

const browser = await chromium.launch({
  executablePath,
  args: [
    '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking',
    '--disable-component-update --disable-sync --disable-dev-shm-usage',
  ].flatMap((some) => some.split(' ')),
});

/** What no page may do, seen on any of them. */
export const complaints = [];

/**
 * Somebody's browser: what is in it, such as a session's cookie, is in no other one. `elsewhere` is a page of
 * another site that it may go to as well.
 */
export async function somebody({ elsewhere, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    colorScheme: 'dark',
    locale: 'en-GB',
    ...options,
  });
  const known = [site, elsewhere].filter(Boolean).map((url) => new URL(url).host);
  const isForeign = (url) => /^(http|ws)s?:/.test(url) && !known.includes(new URL(url).host);
  context.on('request', (request) => isForeign(request.url()) && complaints.push(`asks ${request.url()}`));
  context.on('page', (page) => {
    const complain = (what) => complaints.push(`${page.url()}: ${what}`);
    page.on('console', (message) => {
      if (message.type() !== 'error') return;
      // A playlist that is not there yet is asked for until it is, and a URL that a protected channel does not know is
      // asked for anew; browsers call both errors.
      const { url } = message.location();
      if (/\b40[34]\b/.test(message.text()) && /\/live\/.*(index|master)\.m3u8$/.test(url)) return;
      complain(`console: ${message.text()} (${url})`);
    });
    page.on('pageerror', (error) => {
      // Video.js, when it is given another source while its worker still takes a segment of the last one apart. Nothing
      // follows from it: what it was about is thrown away.
      if (/detached or out-of-bounds ArrayBuffer/.test(error.message) && /assets\/video\.es/.test(error.stack)) return;
      complain(`uncaught: ${error.stack}`);
    });
    page.on('websocket', (socket) => isForeign(socket.url()) && complain(`connects to ${socket.url()}`));
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI} at ${event.sourceFile}`);
    });
  });
  return context;
}

export async function open(path, options = {}) {
  const page = await (await somebody(options)).newPage();
  await page.goto(site + path);
  return page;
}

export async function picture(page, name) {
  if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`) });
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Complains of what would keep somebody with a keyboard or a screen reader from using the page. */
export async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    // The player's own insides are its makers'; what is around it is ours.
    const { violations } = await window.axe.run({ exclude: ['.video-js', '.graphiql-container'] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, any }) => `${target} ${any[0]?.message ?? ''}`).join(' | ')}`);
  });
  complaints.push(...found.map((violation) => `${name}: ${violation}`));
}

/** Nothing may be wider than the window. */
export async function narrow(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (wide > 0) complaints.push(`${name}: ${wide} px wider than the window`);
}

/** The page as others see it: dark, light, on a phone and in Chinese, each looked at by axe. */
export async function portraits(page, name) {
  const { width, height } = page.viewportSize();
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme });
    await accessible(page, `${name}, ${colorScheme}`);
    await picture(page, `${name}-${colorScheme}`);
  }
  await page.setViewportSize(PHONE.viewport);
  await accessible(page, `${name}, on a phone`);
  await narrow(page, `${name}, on a phone`);
  await picture(page, `${name}-phone`);
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: 'dark' });
}

/**
 * How a page comes to somebody who has nothing of it yet: when there is something to see, and how much of it is pushed
 * about before it stands still. In milliseconds; the shift is the share of the window, as browsers count it.
 */
export async function arrival(path, options) {
  const context = await somebody(options);
  await context.addInitScript(() => {
    window.__seen = { shift: 0, painted: 0, largest: 0 };
    const watch = (type, see) => new PerformanceObserver((list) => list.getEntries().forEach(see)).observe({ type, buffered: true });
    watch('layout-shift', (entry) => (window.__seen.shift += entry.hadRecentInput ? 0 : entry.value));
    watch('paint', (entry) => (window.__seen.painted = Math.round(entry.startTime)));
    watch('largest-contentful-paint', (entry) => (window.__seen.largest = Math.round(entry.startTime)));
  });
  const page = await context.newPage();
  const scripts = [];
  page.on('requestfinished', (request) => request.url().endsWith('.js') && scripts.push(request.sizes()));
  await page.goto(site + path);
  await page.waitForTimeout(1_500);
  const seen = await page.evaluate(() => window.__seen);
  const script = (await Promise.all(scripts)).reduce((sum, { responseBodySize }) => sum + responseBodySize, 0);
  await context.close();
  return { ...seen, shift: Number(seen.shift.toFixed(4)), script };
}

/** Broadcasts a test picture with sound to that server and key. */
export function broadcast(server, key) {
  return spawn(
    'ffmpeg',
    [
      '-nostdin -loglevel fatal -re -f lavfi -i testsrc2=size=640x360:rate=30',
      '-f lavfi -i sine=frequency=440:sample_rate=44100',
      '-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -r 30 -g 30 -keyint_min 30',
      '-sc_threshold 0 -b:v 500k -c:a aac -b:a 64k -f flv',
    ]
      .flatMap((some) => some.split(' '))
      .concat(`${server}/${key}`),
    { stdio: 'ignore' },
  );
}

/** Waits until the player shows a picture, and nothing says any more that it is starting. */
export async function untilPicture(page) {
  const shown = () => {
    const video = document.querySelector('video');
    return video?.currentTime > 0 && video.readyState >= 3 && !video.seeking && !video.paused;
  };
  await page.waitForFunction(shown, null, { timeout: 30_000 });
  await page.getByText('Starting…').waitFor({ state: 'detached' });
}

/** Tells the stories in turn, the first that fails being the last; ends with 0 when all is well. */
export async function tellAll(stories, pages, tidy) {
  let failed = false;
  for (const [story, tell] of Object.entries(stories)) {
    try {
      await tell();
      console.log(`ok      ${story}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED  ${story}\n${error.stack}`);
      for (const [name, page] of Object.entries(pages)) await picture(page, `failed-${name}`);
      break;
    }
  }
  if (failed) complaints.forEach((complaint) => console.log(complaint));
  tidy();
  await browser.close();
  process.exit(failed ? 1 : 0);
}
