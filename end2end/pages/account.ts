import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';
import type { Artist } from '../support/people';

/** The pages for signing up and signing in. */
export class Account {
  constructor(readonly page: Page) {}

  async openSignUp() {
    await this.page.goto('/sign-up');
    await alive(this.page);
  }

  async signUp({ name, email, password }: Artist) {
    await this.openSignUp();
    await this.page.getByLabel('Artist name').fill(name);
    await this.page.getByLabel('E-mail').fill(email);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Create the account' }).click();
    await expect(this.page.getByRole('heading', { name: 'Releases', level: 1 })).toBeVisible();
    await alive(this.page);
  }

  async signIn({ email, password }: Pick<Artist, 'email' | 'password'>) {
    await this.page.goto('/sign-in');
    await alive(this.page);
    await this.page.getByLabel('E-mail').fill(email);
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await expect(this.page.getByRole('button', { name: 'Sign out' })).toBeVisible();
    await alive(this.page);
  }
}
