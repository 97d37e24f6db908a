/** Lists of releases: their URLs, and words that are longer than their place. */

import type { BrowserContextOptions, Page } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { ReleasePage } from './pages/release';
import { Review } from './pages/review';
import { someDetails } from './pages/wizard';
import { alive } from './support/alive';
import { named } from './support/files';
import { test } from './support/own-server';
import { ADMINS, ADMIN_PASSWORD, newArtist, unique } from './support/people';
import { expect } from './support/test';

const WORD = 'W'.repeat(190);
const SIZES: [string, BrowserContextOptions][] = [
  ['a desktop', { viewport: { width: 1280, height: 800 } }],
  ['a tablet', { viewport: { width: 800, height: 1000 } }],
  ['a phone', { viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true }],
];

/**
 * Checks that nothing is wider than the window, that pictures keep their size, that links are in the middle of their row of
 * a table, and that no line of facts ends with a dot.
 */
async function expectInPlace(page: Page) {
  const found = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const isSeen = (element: Element) => !element.closest('.visually-hidden, .table-cards > thead, .tabs, .site-nav, dialog:not([open])');
    const reaches = (element: Element) => element.getBoundingClientRect().right > width + 1;
    const wide = [...document.querySelectorAll('header *, main *, footer *')].filter((element) => isSeen(element) && reaches(element));
    const covers = [...document.querySelectorAll('main .cover')].map((cover) => cover.getBoundingClientRect().width);
    const middle = (element: Element) => element.getBoundingClientRect().top + element.getBoundingClientRect().height / 2;
    const rows = [...document.querySelectorAll('.cover-row')].filter((row) => getComputedStyle(row).display === 'table-row');
    const crooked = rows.flatMap((row) => [...row.querySelectorAll('a')].filter((link) => Math.abs(middle(link) - middle(row)) > 1.5));
    const dangling = [...document.querySelectorAll('.release-row .meta, .continue-card .meta')].filter((line) => {
      const letters: { letter: string; top: number }[] = [];
      const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode as Text;
        for (let at = 0; at < text.length; at++) {
          const place = document.createRange();
          place.setStart(text, at);
          place.setEnd(text, at + 1);
          if (text.data[at].trim() && !text.parentElement?.closest('.visually-hidden')) {
            letters.push({ letter: text.data[at], top: place.getBoundingClientRect().top });
          }
        }
      }
      return letters.some(({ letter, top }, at) => letter === '·' && letters[at + 1].top > top + 5);
    });
    return {
      wide: wide.map((element) => element.outerHTML.slice(0, 120)),
      scrolls: document.documentElement.scrollWidth > width,
      narrow: covers.filter((cover) => cover < 36),
      crooked: crooked.map((link) => link.outerHTML.slice(0, 120)),
      dangling: dangling.map((line) => line.outerHTML.slice(0, 120)),
    };
  });
  expect(found, page.url()).toEqual({ wide: [], scrolls: false, narrow: [], crooked: [], dangling: [] });
}

test('a word of 200 letters stays in its place', async ({ page, newPage, newAdmin, watch }) => {
  test.setTimeout(240_000);
  watch.expect(/status of 4(15|22)/);
  const artist = { ...newArtist(), name: WORD.slice(0, 80) };
  await new Account(page).signUp(artist);
  const title = `${WORD}${unique()}`;
  const wizard = await new Home(page).newRelease();
  await wizard.make({ ...someDetails(title), line: WORD });
  await wizard.open('details');
  await page.getByLabel('Version').fill(WORD);
  await page.getByLabel('Label', { exact: true }).fill(WORD);
  await page.getByLabel('Label', { exact: true }).blur();
  await wizard.expectSaved();
  await wizard.open('tracks');
  await wizard.tracks().first().getByRole('textbox', { name: 'Title', exact: true }).fill(WORD);
  await page.locator('#tracks').setInputFiles(named(`${WORD}.wav`, 'truncated.wav', 'audio/wav'));
  await expect(wizard.tracks().nth(1)).toContainText('This file is incomplete');

  const own = ['/', `/releases/${wizard.id}`, ...['details', 'cover', 'tracks', 'submit'].map((step) => `/releases/${wizard.id}/${step}`), '/account'];
  const visit = async (page: Page, paths: string[], options: BrowserContextOptions) => {
    if (options.viewport) await page.setViewportSize(options.viewport);
    for (const path of paths) {
      await page.goto(path);
      await alive(page);
      await expectInPlace(page);
    }
  };
  for (const [device, options] of SIZES) {
    await test.step(`an artist with ${device}`, async () => {
      const other = await newPage(options);
      await new Account(other).signIn(artist);
      await visit(other, own, options);
    });
  }

  await wizard.open('tracks');
  await wizard.tracks().nth(1).getByRole('button', { name: /^Remove / }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove the track' }).click();
  await expect(wizard.tracks()).toHaveCount(1);
  await wizard.go('Review and submit');
  await wizard.submit();
  await new ReleasePage(page, wizard.id).expectStatus('Waiting for review');
  for (const [device, options] of SIZES) {
    await test.step(`an admin with ${device}`, async () => {
      const admin = await newAdmin(options);
      await visit(admin, ['/review', '/admin/releases', '/admin/artists', `/review/${wizard.id}`, `/releases/${wizard.id}`], options);
    });
  }

  const admin = await newAdmin();
  await new Review(admin).open(wizard.id);
  await alive(admin);
  await admin.keyboard.press('r');
  await admin.getByLabel('What the artist has to change').fill(WORD.repeat(3));
  await admin.getByRole('button', { name: 'Reject with this reason' }).click();
  await new ReleasePage(page, wizard.id).expectStatus('Rejected');
  for (const [device, options] of SIZES) {
    await test.step(`the artist reads why with ${device}`, async () => {
      const other = await newPage(options);
      await new Account(other).signIn(artist);
      await visit(other, ['/', `/releases/${wizard.id}`], options);
    });
  }
});

test('the URL of a list has the parameters that were chosen, and no others', async ({ page, newPage }) => {
  await new Account(page).signUp(newArtist());
  await new Home(page).newRelease();
  const admin = await newPage();
  await new Account(admin).signIn({ email: ADMINS[0], password: ADMIN_PASSWORD });
  for (const [person, path] of [
    [page, '/'],
    [admin, '/review'],
    [admin, '/admin/releases'],
    [admin, '/admin/artists'],
  ] as const) {
    await person.goto(`${path}?page=10000&q=&status=&sort=title`);
    await alive(person);
    const asked = () => new URL(person.url()).pathname + new URL(person.url()).search;
    const kept = path === '/' || path === '/admin/releases' ? 'sort=title' : '';
    expect(asked()).toBe([path, kept].filter(Boolean).join('?'));
    const search = person.getByRole('searchbox');
    await search.fill(' rain & sun ');
    await person.getByRole('button', { name: 'Search', exact: true }).click();
    await expect.poll(asked).toBe(`${path}?${['q=rain%20%26%20sun', kept].filter(Boolean).join('&')}`);
    await search.fill('');
    await search.press('Enter');
    await expect.poll(asked).toBe([path, kept].filter(Boolean).join('?'));
  }
});

test('a long list has pages, and each begins at its start for the keyboard', async ({ page }) => {
  await new Account(page).signUp(newArtist());
  for (let release = 0; release < 25; release++) {
    expect((await page.request.post('/api/releases/create', { headers: { accept: 'application/json' }, form: {} })).ok()).toBe(true);
  }
  await new Home(page).open();
  const rows = page.locator('.release-row');
  await expect(rows).toHaveCount(24);
  await page.getByRole('link', { name: 'Next' }).click();
  await expect(page).toHaveURL(/\/\?after=/);
  await expect(rows).toHaveCount(1);
  await expect(page.locator('#main')).toBeFocused();
  await page.keyboard.press('j');
  await expect(page.locator('main .card-link').first()).toBeFocused();
  await page.getByRole('link', { name: 'Previous' }).click();
  await expect(page).toHaveURL(/\/\?before=/);
  await expect(rows).toHaveCount(24);
  await page.getByRole('link', { name: 'Next' }).click();
  await expect(rows).toHaveCount(1);
  await page.getByRole('link', { name: 'First' }).click();
  await expect(page).toHaveURL(/\/$/);
  await expect(page.getByRole('link', { name: 'First' })).toHaveCount(0);
});
