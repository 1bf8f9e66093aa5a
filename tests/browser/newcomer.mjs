// Somebody new comes to the site and broadcasts; all that they do, they do on the pages.
//
//   TALLY_URL=http://127.0.0.1:8080 TALLY_ADMIN_PASSWORD=… [TALLY_SCREENSHOTS=DIR] [TALLY_BROWSER=…] node newcomer.mjs
//
// Nobody may be live when it starts, nor the handle `ada` be anybody's. It ends with 0 when all is well, and says what is not.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { broadcast, complaints, need, picture, portraits, site, somebody, tellAll, untilPicture } from './browser.mjs';

const PASSWORD = 'counting engines';
const pages = {};
let publisher, loc, server, key, fresh;

/** A new page in somebody's browser. */
async function go(context, path) {
  const page = await context.newPage();
  await page.goto(site + path);
  return page;
}

/** The figure of viewers that a page shows. */
const shows = (page, figure) => page.locator('[data-test=viewers]', { hasText: new RegExp(`^${figure}$`) }).first().waitFor();

const stories = {
  async 'somebody new signs up'() {
    const ada = (pages.ada = await go(await somebody(), '/'));
    await ada.getByRole('link', { name: 'Sign in' }).click();
    await portraits(ada, 'sign-in');
    await ada.getByLabel('Handle').fill('nobody_here');
    await ada.getByLabel('Password').fill('wrong password');
    await ada.getByRole('button', { name: 'Sign in' }).click();
    await ada.locator('[data-test=failure]', { hasText: 'do not belong together' }).waitFor();
    await ada.getByRole('link', { name: 'Sign up' }).click();
    await portraits(ada, 'sign-up');
    await ada.getByLabel('Handle').fill('admin');
    await ada.getByLabel('Name that others see').fill('Ada');
    await ada.getByLabel('Password').fill(PASSWORD);
    await ada.getByRole('button', { name: 'Make the account' }).click();
    await ada.getByText('This handle is taken.').waitFor();
    await ada.getByLabel('Handle').fill('ada');
    await ada.getByRole('button', { name: 'Make the account' }).click();
    await ada.getByRole('link', { name: 'Account of Ada' }).waitFor();
    const kept = await ada.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.equal(kept, '[{},{},""]', 'no script can read the session');
    await ada.getByRole('link', { name: 'Studio', exact: true }).click();
    await ada.getByText('You need the role of a streamer').waitFor();
    await portraits(ada, 'studio-closed');
  },

  async 'an admin makes them a streamer'() {
    const admin = (pages.admin = await go(await somebody(), '/dashboard'));
    await admin.locator('[data-test=gate]').getByRole('link', { name: 'Sign in' }).click();
    await admin.getByLabel('Handle').fill('admin');
    await admin.getByLabel('Password').fill(need('TALLY_ADMIN_PASSWORD'));
    await admin.getByRole('button', { name: 'Sign in' }).click();
    const users = admin.locator('[data-test=users]');
    await users.getByLabel('Search users').fill('ad');
    await users.locator('[data-test=user]').nth(1).waitFor();
    await admin.locator('[data-test=status]').getByText('free (').waitFor();
    await users.getByLabel('Role of Ada').selectOption('STREAMER');
    await users.getByRole('button', { name: 'Save' }).click();
    await users.getByText('ada is now: Streamer.').waitFor();
    await admin.locator('[data-test=record]', { hasText: 'Signed up' }).first().waitFor();
    await portraits(admin, 'dashboard');
  },

  async 'they make a channel'() {
    const { ada } = pages;
    await ada.reload();
    await ada.locator('[data-test=no-channels]').waitFor();
    await portraits(ada, 'studio-empty');
    await ada.getByRole('link', { name: 'New channel' }).click();
    await ada.getByLabel('Name', { exact: true }).fill('Ada counts');
    await ada.getByLabel('Topic').selectOption({ index: 1 });
    await ada.getByLabel('Record', { exact: true }).check();
    await portraits(ada, 'new-channel');
    await ada.getByRole('button', { name: 'Make the channel' }).click();
    await ada.locator('[data-test=desk]').waitFor();
    loc = new URL(ada.url()).pathname.split('/')[2];
    await portraits(ada, 'channel-off');
  },

  async 'they give it a cover, which everybody sees'() {
    const { ada } = pages;
    const card = ada.locator('[data-test=cover]');
    const drawn = (image) => image.evaluate((it) => it.decode().then(() => [it.naturalWidth, it.naturalHeight]));
    await card.locator('input').setInputFiles({ name: 'cover', mimeType: 'text/html', buffer: await ada.screenshot() });
    await card.getByText('This is the cover now.').waitFor();
    assert.deepEqual(await drawn(card.locator('img[src^="/covers/"]')), [1152, 720]);
    await portraits(ada, 'channel-cover');
    const fay = await go(await somebody(), '/');
    await drawn(fay.locator(`[data-test=channel-row][data-loc="${loc}"] img`));
    await fay.goto(`${site}/view/${loc}/`);
    await drawn(fay.locator('.stage-cover'));
    await portraits(fay, 'watch-cover');
    await fay.context().close();
  },

  async 'they read the server and the key, and connect'() {
    const { ada } = pages;
    const connect = ada.locator('[data-test=connect]');
    const [serverBox, keyBox] = [0, 1].map((nth) => connect.locator('[data-test=copy-value]').nth(nth));
    assert.match(await keyBox.inputValue(), /^•+$/, 'the key is hidden');
    await connect.locator('[data-test=reveal]').click();
    await ada.waitForFunction((box) => box.value.startsWith('tk_'), await keyBox.elementHandle());
    [server, key] = [await serverBox.inputValue(), await keyBox.inputValue()];
    await connect.locator('[data-test=reveal]').click();
    publisher = broadcast(server, key);
    await ada.locator('[data-test=connect][data-state=live]').waitFor();
    await ada.locator('[data-test=on-air]').waitFor();
  },

  async 'others see it begin, and watch; the counts move on every screen'() {
    const bob = (pages.bob = await go(await somebody(), '/'));
    const card = bob.locator(`[data-test=stream-card][data-loc="${loc}"]`);
    await card.waitFor();
    await portraits(bob, 'home');
    await card.getByRole('link').click();
    await untilPicture(bob);
    await shows(bob, 1);
    const { ada, admin } = pages;
    await ada.locator('[data-test=watching]', { hasText: /^1$/ }).waitFor();
    await admin.locator('[data-test=site-viewers]', { hasText: /^1$/ }).waitFor();
    const carol = (pages.carol = await go(await somebody({ locale: 'zh-CN' }), `/view/${loc}/`));
    await carol.getByText('正在直播').or(carol.getByText('直播中')).first().waitFor();
    await carol.waitForFunction(() => document.querySelector('video')?.currentTime > 0, null, { timeout: 30_000 });
    await shows(bob, 2);
    await ada.locator('[data-test=watching]', { hasText: /^2$/ }).waitFor();
    await admin.locator('[data-test=site-viewers]', { hasText: /^2$/ }).waitFor();
    await portraits(bob, 'watch');
    await picture(carol, 'watch-chinese');
    await ada.locator('[data-test=chart] canvas').first().waitFor();
    await ada.locator('[data-test=arrival]').getByText(/pictures a second/).waitFor();
    await portraits(ada, 'channel-live');
    await portraits(admin, 'dashboard-live');
  },

  async 'they name it while it is on the air, and everybody reads the new name'() {
    const { ada, bob } = pages;
    const form = ada.locator('[data-test=stream-form]');
    await form.getByLabel('Name of the stream').fill('Numbers of Bernoulli');
    await form.getByRole('button', { name: 'Save' }).click();
    await bob.getByRole('heading', { name: 'Numbers of Bernoulli' }).waitFor();
  },

  async 'whoever is signed in cuts out what they have just seen, and everybody plays it'() {
    const { ada, bob } = pages;
    const watching = (pages.watching = await go(ada.context(), `/view/${loc}/`));
    await untilPicture(watching);
    await watching.locator('[data-test=make-clip]').click();
    const maker = watching.locator('[data-test=clip-maker]');
    await maker.getByLabel('What to call it').fill('Number seven');
    await maker.getByLabel('How much of the end').selectOption('15');
    await portraits(watching, 'clip-maker');
    await maker.getByRole('button', { name: 'Cut it out' }).click();
    await maker.getByRole('link', { name: 'Number seven' }).waitFor();
    await watching.locator('[data-test=clip]').waitFor();
    await portraits(watching, 'clip-made');
    await watching.close();
    delete pages.watching;
    const page = (pages.clip = await go(bob.context(), `/view/${loc}/`));
    await page.locator('[data-test=clip] a').click();
    await page.getByRole('heading', { name: 'Number seven', level: 1 }).waitFor();
    await page.waitForFunction(() => window.scrollY === 0);
    await page.waitForFunction(() => document.querySelector('video')?.currentTime > 0.5, null, { timeout: 30_000 });
    await picture(page, 'clip');
    await page.close();
    delete pages.clip;
    await ada.reload();
    await ada.locator('[data-test=clips] [data-test=clip]', { hasText: 'by Ada' }).waitFor();
  },

  async 'the player works in a frame of a page from elsewhere'() {
    const snippet = await pages.bob.locator('details textarea').inputValue();
    const body = `<!doctype html><html lang="en"><title>Elsewhere</title>${snippet}</html>`;
    const elsewhere = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(body));
    await new Promise((resolve) => elsewhere.listen(0, 'localhost', resolve));
    // Another site than 127.0.0.1, as far as a browser is concerned.
    const address = `http://localhost:${elsewhere.address().port}/`;
    const dora = await (await somebody({ elsewhere: address })).newPage();
    await dora.goto(address);
    const frame = dora.frameLocator('iframe');
    await frame.locator('[data-phase=live]').waitFor();
    await frame.locator('video').waitFor();
    await picture(dora, 'embed-elsewhere');
    await dora.context().close();
    elsewhere.close();
  },

  async 'the key is replaced, and the stream stops on every screen'() {
    const { ada, admin, bob, carol } = pages;
    const connect = ada.locator('[data-test=connect]');
    await connect.getByRole('button', { name: 'Replace the stream key' }).click();
    await connect.getByRole('button', { name: 'Replace it now' }).click();
    await connect.getByText('There is a new key.').waitFor();
    await bob.locator('[data-phase=off]').waitFor();
    await carol.locator('[data-phase=off]').waitFor();
    await carol.getByText('直播已结束。').waitFor();
    await ada.locator('[data-test=connect][data-state=off]').waitFor();
    await ada.locator('[data-test=past] td', { hasText: 'Numbers of Bernoulli' }).waitFor();
    await admin.locator('[data-test=streams]', { hasText: /^0$/ }).waitFor();
    await portraits(ada, 'channel-past');
    await ada.locator('[data-test=past-chart]').first().click();
    await ada.locator('[data-test=past] canvas').first().waitFor();
    await portraits(ada, 'channel-past-chart');
    await ada.locator('[data-test=past-chart]').first().click();
    await sleep(500);
    publisher.kill('SIGKILL');
  },

  async 'what was broadcast can be watched again'() {
    const { ada, carol } = pages;
    const clips = ada.locator('[data-test=clips]');
    await clips.locator('[data-test=delete-clip]').click();
    await clips.getByRole('button', { name: 'Delete it for good' }).click();
    await clips.getByText('Nothing yet').waitFor();
    const recordings = ada.locator('[data-test=recordings]');
    await recordings.getByText('for everybody who may watch').waitFor({ timeout: 60_000 });
    await carol.goto(`${site}/`);
    await carol.locator('[data-test=recent-recording]').waitFor();
    await portraits(carol, 'home-recent');
    await carol.locator('[data-test=recent-recording] a').click();
    await carol.locator('[data-test=recording]').waitFor();
    await carol.waitForFunction(() => document.querySelector('video')?.currentTime > 0.5, null, { timeout: 30_000 });
    await picture(carol, 'recording');
    // What is protected next stops there, which is no complaint of this page.
    await carol.close();
    delete pages.carol;
    await portraits(ada, 'channel-recordings');
  },

  async 'with a password they protect it, and whoever knows it watches'() {
    const { ada, bob } = pages;
    const settings = ada.locator('[data-test=channel-form]');
    await settings.getByLabel('Protected').check();
    await settings.getByRole('button', { name: 'Save' }).click();
    await ada.getByText('The channel is protected:').waitFor();
    const access = ada.locator('[data-test=access]');
    await access.getByLabel('Password of the channel').fill('open sesame');
    await access.getByRole('button', { name: 'Save' }).click();
    await access.getByText('The password is set.').waitFor();
    const connect = ada.locator('[data-test=connect]');
    await connect.locator('[data-test=reveal]').click();
    const keyBox = connect.locator('[data-test=copy-value]').nth(1);
    await ada.waitForFunction((box) => box.value.startsWith('tk_'), await keyBox.elementHandle());
    fresh = await keyBox.inputValue();
    assert.notEqual(fresh, key);
    publisher = broadcast(server, fresh);
    await bob.locator('[data-test=denied]').waitFor();
    const eve = (pages.eve = await go(await somebody(), `/view/${loc}/`));
    const unlock = eve.locator('[data-test=unlock]');
    await unlock.waitFor();
    await portraits(eve, 'watch-protected');
    for (const password of ['close sesame', 'open sesame']) {
      await unlock.getByLabel('Password of the channel').fill(password);
      await unlock.getByRole('button', { name: 'Watch' }).click();
      if (password.startsWith('close')) await unlock.getByText('This is not the password').waitFor();
    }
    await untilPicture(eve);
    await eve.close();
    delete pages.eve;
    publisher.kill('SIGKILL');
    await bob.locator('[data-phase=off]').waitFor();
    await settings.getByLabel('Protected').uncheck();
    await settings.getByRole('button', { name: 'Save' }).click();
    await access.getByText('The channel is open to everybody.').waitFor();
  },

  async 'with the new key they are on again, and the pages that were left open play it'() {
    const { bob } = pages;
    publisher = broadcast(server, fresh);
    await bob.locator('[data-phase=live]').waitFor();
    await untilPicture(bob);
  },

  async 'they end it, and delete the channel'() {
    const { ada, bob } = pages;
    const onAir = ada.locator('[data-test=on-air]');
    await onAir.getByRole('button', { name: 'End the stream' }).click();
    await onAir.getByRole('button', { name: 'End it now' }).click();
    await bob.locator('[data-phase=off]').waitFor();
    publisher.kill('SIGKILL');
    const danger = ada.locator('[data-test=danger]');
    await danger.getByRole('button', { name: 'Delete the channel' }).click();
    await danger.getByLabel('Name of the channel').fill('Ada counts');
    await danger.getByRole('button', { name: 'Delete it for good' }).click();
    await ada.locator('[data-test=no-channels]').waitFor();
  },

  async 'they change their password, which signs them out elsewhere, then sign out, and are nobody'() {
    const { ada } = pages;
    await ada.getByRole('link', { name: 'Account of Ada' }).click();
    await ada.locator('[data-test=account-page]').waitFor();
    const elsewhere = (pages.elsewhere = await go(await somebody(), '/sign-in'));
    await elsewhere.getByLabel('Handle').fill('ada');
    await elsewhere.getByLabel('Password').fill(PASSWORD);
    await elsewhere.getByRole('button', { name: 'Sign in' }).click();
    await elsewhere.getByRole('link', { name: 'Account of Ada' }).waitFor();
    await ada.reload();
    await ada.locator('[data-test=session]').nth(1).waitFor();
    await portraits(ada, 'account');
    await ada.getByLabel('Present password').fill(PASSWORD);
    await ada.getByLabel('New password').fill('analytical engines');
    await ada.getByRole('button', { name: 'Change the password' }).click();
    await ada.getByText('one other session has ended').waitFor();
    await ada.locator('[data-test=session]').nth(1).waitFor({ state: 'detached' });
    // Nobody had to load that page again.
    await elsewhere.getByRole('link', { name: 'Sign in' }).waitFor();
    await ada.locator('[data-test=sign-out]').click();
    await ada.getByRole('link', { name: 'Sign in' }).waitFor();
    await ada.goto(`${site}/account`);
    await ada.locator('[data-test=gate]').waitFor();
  },

  async 'no page asks elsewhere, breaks its policy, complains, or shuts anybody out'() {
    assert.deepEqual(complaints, []);
  },
};

await tellAll(stories, pages, () => publisher?.kill('SIGKILL'));
