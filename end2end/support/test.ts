import { test as base, expect, type Browser, type BrowserContextOptions, type Page } from '@playwright/test';

import { Account } from '../pages/account';
import { ADMINS, ADMIN_PASSWORD } from './people';
import { runsScripts } from './alive';
import { Watch } from './watch';

type Fixtures = {
  watch: Watch;
  /** Opens the browser of another person. */
  newPage: (options?: BrowserContextOptions) => Promise<Page>;
  /** Opens a browser and signs an admin in. */
  newAdmin: (options?: BrowserContextOptions, email?: string) => Promise<Page>;
};

export const test = base.extend<Fixtures>({
  baseURL: async ({}, use) => use(process.env.VWAZA_E2E_URL),
  watch: async ({}, use) => {
    const watch = new Watch();
    await use(watch);
    expect(watch.unexpected(), 'the console stays empty').toEqual([]);
  },
  context: async ({ context, watch, javaScriptEnabled }, use) => {
    watch.context(context);
    if (javaScriptEnabled) runsScripts(context);
    await use(context);
  },
  newPage: async ({ browser, watch, baseURL, viewport, javaScriptEnabled }, use) => {
    const opened: Awaited<ReturnType<Browser['newContext']>>[] = [];
    await use(async (options = {}) => {
      const context = await browser.newContext({ baseURL, viewport, javaScriptEnabled, locale: 'en-GB', ...options });
      opened.push(context);
      watch.context(context);
      if (options.javaScriptEnabled ?? javaScriptEnabled) runsScripts(context);
      return context.newPage();
    });
    await Promise.all(opened.map((context) => context.close()));
  },
  newAdmin: async ({ newPage }, use) => {
    await use(async (options, email = ADMINS[0]) => {
      const page = await newPage(options);
      await new Account(page).signIn({ email, password: ADMIN_PASSWORD });
      await expect(page.getByRole('heading', { name: 'Review queue' })).toBeVisible();
      return page;
    });
  },
});

export { expect };
