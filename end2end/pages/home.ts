import { expect, type Page } from '@playwright/test';

import { alive } from '../support/alive';
import { Wizard } from './wizard';

/** The list of an artist's releases. */
export class Home {
  constructor(readonly page: Page) {}

  async open() {
    await this.page.goto('/');
    await expect(this.page.getByRole('heading', { name: 'Releases', level: 1 })).toBeVisible();
    await alive(this.page);
  }

  /** Creates a draft, which opens at its first step. */
  async newRelease(): Promise<Wizard> {
    await this.page.getByRole('button', { name: 'New release' }).first().click();
    await expect(this.page).toHaveURL(/\/releases\/[0-9a-f-]{36}\/details$/);
    await alive(this.page);
    const id = this.page.url().split('/').at(-2) ?? '';
    return new Wizard(this.page, id);
  }

  release(title: string) {
    return this.page.getByRole('link', { name: title, exact: true });
  }
}
