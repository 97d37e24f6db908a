import type { Page, Request } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { expectAccessible } from './support/accessible';
import { hold } from './support/network';
import { newArtist } from './support/people';
import { expect, test } from './support/test';

test.beforeEach(async ({ page }) => {
  await new Account(page).signUp(newArtist());
});

test('an artist searches, filters and sorts the releases', async ({ page }) => {
  const home = new Home(page);
  for (const title of ['Alpha', 'Bravo']) {
    const wizard = await home.newRelease();
    await page.getByLabel('Title', { exact: true }).fill(title);
    await page.getByLabel('Title', { exact: true }).blur();
    await wizard.expectSaved();
    await home.open();
  }
  const all = page.getByRole('region', { name: 'All releases' });
  const titles = () => all.getByRole('heading', { level: 3 }).allInnerTexts();
  await expect.poll(titles, 'the latest change comes first').toEqual(['Bravo', 'Alpha']);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await expect(page.getByRole('region', { name: 'Continue' }).getByRole('link', { name: 'Alpha' })).toBeFocused();

  const search = all.getByRole('searchbox');
  await search.fill('brav');
  await search.press('Enter');
  await expect.poll(titles).toEqual(['Bravo']);
  await expect(search, 'what was asked for can be asked for otherwise').toBeFocused();
  await all.getByRole('link', { name: 'Clear the search' }).click();
  await expect(search).toBeFocused();
  await expect(search).toHaveValue('');
  await expect.poll(titles).toEqual(['Bravo', 'Alpha']);

  await all.getByRole('link', { name: 'Title' }).click();
  await expect(page).toHaveURL(/sort=title/);
  await expect.poll(titles).toEqual(['Alpha', 'Bravo']);
  await all.getByRole('link', { name: /^Published/ }).click();
  await expect(page.getByRole('heading', { name: 'No release matches' })).toBeVisible();
  await page.getByRole('link', { name: 'Show all releases' }).click();
  await expect.poll(titles).toEqual(['Bravo', 'Alpha']);
});

test('a draft is deleted after a confirmation', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await new ReleasePage(page, wizard.id).open();
  const dialog = page.getByRole('dialog', { name: 'Delete this draft' });
  await page.getByRole('button', { name: 'Delete draft' }).click();
  await expect(dialog).toBeVisible();
  await expectAccessible(page);
  await dialog.getByRole('button', { name: 'Keep it' }).click();
  await expect(dialog).toBeHidden();
  await page.getByRole('button', { name: 'Delete draft' }).click();
  await dialog.getByRole('button', { name: 'Delete draft' }).click();
  await expect(page.getByRole('heading', { name: 'Your first release' })).toBeVisible();
  expect((await page.request.get(`/releases/${wizard.id}`)).status()).toBe(404);
});

test('moves of tracks and the last words typed are saved after the step was left', async ({ page, watch }) => {
  watch.expect(/status of 503/);
  const wizard = await new Home(page).newRelease();
  await wizard.go('Tracks');
  await wizard.chooseTracks('song.flac', 'song.wav', 'song.mp3');
  await wizard.expectTitles('Night Bus', 'Early Ferry', 'song');
  // From now on, nothing grows or scrolls during the drag.
  await expect(wizard.tracks().getByText('0:08')).toHaveCount(3);
  await page.setViewportSize({ width: 1280, height: 1200 });
  let movesAnswered = 0;
  page.on('response', (response) => {
    if (response.url().endsWith('/api/tracks/move')) movesAnswered++;
  });
  const handle = page.getByRole('button', { name: /^Move “Night Bus”, track/ });
  const last = wizard.track('song');
  const { height } = (await last.boundingBox()) ?? { height: 0 };
  await handle.dragTo(last, { targetPosition: { x: 200, y: height - 6 } });
  await wizard.expectTitles('Early Ferry', 'song', 'Night Bus');

  const sendMoves = await hold(page, '**/api/tracks/move');
  await wizard.track('Night Bus').getByRole('button', { name: 'Move “Night Bus” up' }).click();
  await wizard.track('Night Bus').getByRole('button', { name: 'Move “Night Bus” up' }).click();
  await wizard.expectTitles('Night Bus', 'Early Ferry', 'song');
  await wizard.go('Details');
  sendMoves();

  await page.route(SAVE, (route) =>
    route.fulfill({ status: 503, json: { statusCode: 503, error: 'Service Unavailable', message: 'Down for a moment.' } }),
  );
  await page.getByLabel('Title', { exact: true }).fill('Last Words');
  await expect(page.getByText('Not saved yet. Down for a moment.')).toBeVisible();
  await wizard.go('Cover');
  await page.unroute(SAVE);
  await expect(page.getByRole('heading', { name: 'Last Words', level: 1 })).toBeVisible();
  await expect.poll(() => movesAnswered, 'the one by dragging and the two by button').toBe(3);
  await wizard.open('tracks');
  await wizard.expectTitles('Night Bus', 'Early Ferry', 'song');
});

test('unsaved words are back in their form, and never overwrite later ones', async ({ page, watch }) => {
  watch.expect(/status of 503/);
  const wizard = await new Home(page).newRelease();
  const title = page.getByLabel('Title', { exact: true });
  const server = await standIn(page);
  const { sent } = server;
  await page.clock.install();
  await title.fill('First Thought');
  await expect(page.getByText('Not saved yet. Down for a moment.')).toBeVisible();
  await wizard.go('Cover');
  await expect.poll(() => sent.length).toBeGreaterThan(1);

  await wizard.go('Details');
  await expect(title).toHaveValue('First Thought');
  await page.getByLabel('Label', { exact: true }).fill('Small Hours Music');
  await title.fill('Second Thought');
  server.isDown = false;
  await wizard.expectSaved();
  const before = sent.length;
  expect(sent.at(-1)).toBe('Second Thought');
  // The clock passes the time at which the form that was left would have saved again. The server would have received
  // that before this save.
  await page.clock.runFor(10_000);
  await title.fill('Third Thought');
  await expect.poll(() => sent.at(-1)).toBe('Third Thought');
  await wizard.expectSaved();
  expect(sent.slice(before)).toEqual(['Third Thought']);
  await wizard.open('details');
  await expect(title).toHaveValue('Third Thought');
  await expect(page.getByLabel('Label', { exact: true })).toHaveValue('Small Hours Music');
});

test('a form that is opened and left at once loses nothing', async ({ page, watch }) => {
  watch.expect(/status of 503/);
  const wizard = await new Home(page).newRelease();
  const title = page.getByLabel('Title', { exact: true });
  const server = await standIn(page);
  await page.clock.install();
  await title.fill('First Thought');
  await expect(page.getByText('Not saved yet. Down for a moment.')).toBeVisible();
  await wizard.go('Cover');
  await expect.poll(() => server.sent.length).toBeGreaterThan(1);
  // From now on, no timer fires. One that fires before this takes effect finds the server still down.
  await page.clock.pauseAt(Date.now() + 60_000);
  await wizard.go('Details');
  await expect(title).toHaveValue('First Thought');
  server.isDown = false;
  await wizard.go('Cover');
  await expect(page.getByRole('heading', { name: 'First Thought', level: 1 })).toBeVisible();
});

test('words that could not be saved for a long time are still in their step', async ({ page, watch }) => {
  watch.expect(/status of 503/);
  const wizard = await new Home(page).newRelease();
  const title = page.getByLabel('Title', { exact: true });
  const server = await standIn(page);
  await page.clock.install();
  await title.fill('Patient Words');
  await expect(page.getByText('Not saved yet. Down for a moment.')).toBeVisible();
  await wizard.go('Cover');
  await expect(async () => {
    await page.clock.runFor(5_000);
    const words = page.getByText('Your last change is not saved. You can still see it in the step where you typed it. Down for a moment.');
    await expect(words).toBeVisible({ timeout: 500 });
  }).toPass();
  server.isDown = false;
  await wizard.go('Details');
  await expect(title).toHaveValue('Patient Words');
  await wizard.expectSaved();
  await expect(page.getByRole('heading', { name: 'Patient Words', level: 1 })).toBeVisible();
});

test('a title that is changed back while a save is running stays as it was', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  const title = page.getByLabel('Title', { exact: true });
  await title.fill('As It Was');
  await wizard.expectSaved();
  const sent: string[] = [];
  page.on('request', (request) => {
    if (isSave(request)) sent.push(titleIn(request));
  });
  const arrive = await hold(page, SAVE);
  await title.fill('A Slip');
  await expect.poll(() => sent).toEqual(['A Slip']);
  await title.fill('As It Was');
  await wizard.go('Cover');
  const isLast = (request: Request) => isSave(request) && titleIn(request) === 'As It Was';
  const saved = page.waitForResponse((response) => isLast(response.request()));
  arrive();
  await expect.poll(() => sent).toEqual(['A Slip', 'As It Was']);
  await wizard.go('Details');
  await saved;
  await wizard.open('details');
  await expect(title).toHaveValue('As It Was');
});

const SAVE = '**/api/releases/save-details';
const isSave = (request: Request) => request.url().endsWith('/api/releases/save-details');
const titleIn = (request: Request) => new URLSearchParams(request.postData() ?? '').get('details[title]') ?? '';

/** Records every title that is sent, and answers instead of the server while that is down. */
async function standIn(page: Page) {
  const server = { sent: [] as string[], isDown: true };
  await page.route(SAVE, (route) => {
    server.sent.push(titleIn(route.request()));
    if (!server.isDown) return route.continue();
    return route.fulfill({ status: 503, json: { statusCode: 503, error: 'Service Unavailable', message: 'Down for a moment.' } });
  });
  return server;
}

for (const [device, viewport] of [
  ['a desktop', { width: 1280, height: 800 }],
  ['a phone', { width: 360, height: 800 }],
] as const) {
  test(`a button keeps its place while changes are not saved, on ${device}`, async ({ page, watch }) => {
    watch.expect(/status of 503.*\/api\/releases\/save-details/);
    await page.setViewportSize(viewport);
    await new Home(page).newRelease();
    const button = page.getByRole('button', { name: 'Save and continue' });
    // The place is relative to the document, because the content above may scroll.
    const place = async () => {
      const [box, scrolled] = [await button.boundingBox(), await page.evaluate(() => scrollY)];
      return box && { x: box.x, y: box.y + scrolled, width: box.width };
    };
    const before = await place();
    const message = 'The database is not answering. Everything you saved is safe; try again in a minute. '.repeat(4);
    const down = { statusCode: 503, error: 'Service Unavailable', message };
    await page.route('**/api/releases/save-details', (route) => route.fulfill({ status: 503, json: down }));
    await page.getByLabel('Label', { exact: true }).fill('Night Records');
    await expect(page.getByRole('status').filter({ hasText: 'Not saved yet. The database' })).toBeVisible();
    expect(await place()).toEqual(before);
    await page.unroute('**/api/releases/save-details');
    await expect(page.getByRole('status').filter({ hasText: /^Saved$/ })).toBeVisible();
  });
}

test('an incomplete date is marked with our own message', async ({ page }) => {
  const wizard = await new Home(page).newRelease();
  await page.getByLabel('Title', { exact: true }).fill('Half a Date');
  const date = page.getByLabel('Release date');
  await date.fill('2027-01-22');
  await date.blur();
  await wizard.expectSaved();
  await date.focus();
  await page.keyboard.press('Backspace');
  await page.getByRole('button', { name: 'Save and continue' }).click();
  await expect(page.getByText('Fill in day, month and year.')).toBeVisible();
  await expect(date).toBeFocused();
  await expect(date).toHaveAttribute('aria-describedby', 'release_date-error');
  await page.reload();
  await expect(date, 'the last whole date is kept').toHaveValue('2027-01-22');
});
