import type { Request } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails, Wizard } from './pages/wizard';
import { expectAccessible } from './support/accessible';
import { alive } from './support/alive';
import { hold } from './support/network';
import { look } from './support/visibility';
import { ADMINS, newArtist, unique } from './support/people';
import { expect, test } from './support/test';

const isStream = (request: Request) => request.url().endsWith('/api/events');

test('a status changes on the open page even if the event stream is blocked', async ({ page, newAdmin, watch }) => {
  watch.expect(/net::ERR_FAILED.*\/api\/events/);
  const title = `Unheard ${unique()}`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await wizard.submit();
  const release = new ReleasePage(page, wizard.id);
  await release.expectStatus('Waiting for review');
  await page.route('**/api/events', (route) => route.abort());
  await release.open();
  await page.evaluate(() => document.body.setAttribute('data-same-page', ''));

  const admin = await newAdmin();
  await new Review(admin).find(title);
  await new Review(admin).approve();
  await release.expectStatus('Published');
  await expect(page.locator('body[data-same-page]')).toBeVisible();
});

test('an admin who is writing a reason reads that another admin has decided already', async ({ page, newAdmin }) => {
  const title = `Superseded ${unique()}`;
  await new Account(page).signUp(newArtist());
  const wizard = await new Home(page).newRelease();
  await wizard.make(someDetails(title));
  await wizard.submit();
  await new ReleasePage(page, wizard.id).expectStatus('Waiting for review');

  const slow = await newAdmin();
  const fast = await newAdmin({}, ADMINS[1]);
  await new Review(slow).find(title);
  await slow.keyboard.press('r');
  await slow.getByLabel('What the artist has to change').fill('The fade at the end is cut off.');
  await new Review(fast).find(title);
  await new Review(fast).approve();

  const told = slow.getByRole('region', { name: 'Already decided' });
  await expect(told).toContainText('Already approved. There is nothing left to decide.');
  await expect(told).toContainText('The fade at the end is cut off.');
  await expect(new Review(slow).verdict()).toBeHidden();
  await expect(told).toBeFocused();
  await expectAccessible(slow);
  await told.getByRole('link', { name: 'Next in the queue' }).click();
  await expect(slow).not.toHaveURL(new RegExp(wizard.id));
  await alive(slow);
  await expect(told).toBeHidden();
});

test('a hidden page keeps no connection open, and shows the changes once it is visible', async ({ page, newPage }) => {
  const artist = newArtist();
  await page.clock.install();
  const opened = page.waitForRequest(isStream);
  await new Account(page).signUp(artist);
  await expect(page.getByRole('heading', { name: 'Your first release' })).toBeVisible();
  await opened;
  const closed = page.waitForEvent('requestfailed', isStream);
  await look(page, false);
  await closed;
  const asked: string[] = [];
  page.on('request', (request) => {
    if (new URL(request.url()).pathname.startsWith('/api/')) asked.push(request.url());
  });

  const title = `Unseen ${unique()}`;
  const other = await newPage();
  await new Account(other).signIn(artist);
  const wizard = await new Home(other).newRelease();
  await other.getByLabel('Title', { exact: true }).fill(title);
  await other.getByLabel('Title', { exact: true }).blur();
  await wizard.expectSaved();
  // Longer than the interval between two polls.
  await page.clock.runFor(10_000);
  await expect(page.getByText(title)).toHaveCount(0);
  expect(asked, 'nothing is asked of the server').toEqual([]);
  await look(page, true);
  await expect(page.getByText(title).first()).toBeVisible();
});

test('a page that is hydrated late shows what happened before', async ({ page, newPage }) => {
  const artist = newArtist();
  await new Account(page).signUp(artist);
  const { id } = await new Home(page).newRelease();
  const go = await hold(page, '**/pkg/split_wizard*.wasm');
  let listens = false;
  page.on('request', (request) => (listens ||= isStream(request)));
  await page.goto(`/releases/${id}/tracks`);

  const title = `Meanwhile ${unique()}`;
  const other = await newPage();
  await new Account(other).signIn(artist);
  await other.goto(`/releases/${id}/details`);
  await alive(other);
  await other.getByLabel('Title', { exact: true }).fill(title);
  await other.getByLabel('Title', { exact: true }).blur();
  await new Wizard(other, id).expectSaved();
  await expect(page.locator('html')).not.toHaveAttribute('data-alive');
  expect(listens, 'nobody would hear what is told').toBe(false);
  go();
  await alive(page);
  await expect(page.getByRole('heading', { name: title, level: 1 })).toBeVisible();
});
