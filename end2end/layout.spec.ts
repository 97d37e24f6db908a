import type { BrowserContextOptions } from '@playwright/test';

import { Account } from './pages/account';
import { Home } from './pages/home';
import { someDetails, Wizard } from './pages/wizard';
import { test } from './support/own-server';
import { ADMINS, ADMIN_PASSWORD, newArtist, unique } from './support/people';
import { LayoutStability } from './support/layout-stability';
import { expect } from './support/test';

const SIZES: [string, BrowserContextOptions][] = [
  ['a desktop', { viewport: { width: 1280, height: 800 } }],
  ['a phone', { viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true }],
];

// The test has a server of its own, because lists may move when other people do something.
for (const [device, options] of SIZES) {
  test(`nothing moves by itself on ${device}`, async ({ newPage }) => {
    test.setTimeout(240_000);
    const page = await newPage(options);
    const still = await LayoutStability.watch(page);
    const title = `Still Waters ${unique()}`;

    await test.step('signed out', async () => {
      for (const path of ['/', '/sign-in', '/sign-up']) await still.open(path);
      await still.open('/');
      await still.follow(page.getByRole('banner').getByRole('link', { name: 'Sign in' }), 'Sign in');
      await still.follow(page.getByRole('main').getByRole('link', { name: 'Sign up' }), 'Sign up');
    });

    let waiting: Wizard;
    let draft: Wizard;
    await test.step('an artist', async () => {
      await new Account(page).signUp(newArtist());
      await still.open('/');
      draft = await new Home(page).newRelease();
      await page.goto('/');
      waiting = await new Home(page).newRelease();
      await waiting.make(someDetails(title));
      // The results of an examination may move the content below them, so the test waits for them.
      await expect(page.getByText('Every file is stored and examined.')).toBeVisible();
      for (const step of ['details', 'cover', 'tracks', 'submit']) await still.open(`/releases/${waiting.id}/${step}`);
      await waiting.submit();
      await expect(page.getByText('Waiting for review').first()).toBeVisible();
      for (const path of ['/', `/releases/${waiting.id}`, `/releases/${draft.id}`, '/account']) await still.open(path);

      const nav = page.getByRole('navigation', { name: 'Main' });
      await still.follow(nav.getByRole('link', { name: 'Releases' }), 'Releases');
      await still.follow(page.getByRole('link', { name: title, exact: true }).first(), title);
      await still.follow(nav.getByRole('link', { name: 'Releases' }), 'Releases');
      await still.follow(page.getByRole('link', { name: 'Untitled' }).first(), 'Details', 2);
      await still.follow(page.getByRole('link', { name: 'Release page' }), 'What happened', 2);
      await still.follow(page.getByRole('link', { name: 'Account of' }), 'Account');
    });

    await test.step('an admin', async () => {
      const page = await newPage(options);
      const still = await LayoutStability.watch(page);
      await new Account(page).signIn({ email: ADMINS[0], password: ADMIN_PASSWORD });
      const all = ['/review', `/review/${waiting.id}`, '/admin/releases', '/admin/artists', '/admin/operations', '/admin/queue', '/admin/jobs', '/admin/audit'];
      for (const path of all) await still.open(path);

      const nav = page.getByRole('navigation', { name: 'Main' });
      await still.follow(nav.getByRole('link', { name: 'Review' }), 'Review queue');
      await still.follow(page.getByRole('link', { name: title, exact: true }), title);
      for (const [link, heading] of [['Releases', 'All releases'], ['Artists', 'All artists'], ['Operations', 'Operations']]) {
        await still.follow(nav.getByRole('link', { name: link }), heading);
      }
    });
  });
}
