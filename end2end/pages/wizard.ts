import { expect, type Locator, type Page } from '@playwright/test';

import { alive } from '../support/alive';
import { fixture } from '../support/files';

export type Details = { title: string; genre: string; language: string; date: string; line: string };
export type Payload = { name: string; mimeType: string; buffer: Buffer };

/** The wizard with the four steps of a release. */
export class Wizard {
  constructor(
    readonly page: Page,
    readonly id: string,
  ) {}

  /** Opens a step by its address, as after a reload. */
  async open(step: 'details' | 'cover' | 'tracks' | 'submit') {
    await this.page.goto(`/releases/${this.id}/${step}`);
    await expect(this.page.getByRole('navigation', { name: 'Steps' })).toBeVisible();
    await alive(this.page);
  }

  /** Opens a step by the list of steps, without loading another page. */
  async go(step: 'Details' | 'Cover' | 'Tracks' | 'Review and submit') {
    await this.page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: step }).click();
    await expect(this.page.getByRole('heading', { name: step, level: 2 })).toBeVisible();
  }

  checklist() {
    return this.page.getByRole('complementary', { name: 'Checklist' });
  }

  // Details

  async fillDetails({ title, genre, language, date, line }: Details) {
    await this.page.getByLabel('Title', { exact: true }).fill(title);
    await this.page.getByLabel('Genre').selectOption(genre);
    await this.page.getByLabel('Language').selectOption(language);
    await this.page.getByLabel('Release date').fill(date);
    await this.page.getByLabel('℗ line').fill(line);
    await this.page.getByLabel('© line').fill(line);
    await this.page.getByLabel('© line').blur();
  }

  async expectSaved() {
    await expect(this.page.getByRole('status').filter({ hasText: /^Saved$/ })).toBeVisible();
  }

  // Cover

  async chooseCover(file: string) {
    await this.page.locator('#cover').setInputFiles(fixture(file));
  }

  coverPicture() {
    return this.page.locator('.cover-step').getByRole('img', { name: /^Cover of/ });
  }

  /** The cover step, with the facts of the file or the reason of a refusal. */
  coverStep() {
    return this.page.locator('.cover-step');
  }

  // Tracks

  async chooseTracks(...files: string[]) {
    await this.page.locator('#tracks').setInputFiles(files.map(fixture));
  }

  tracks() {
    return this.page.getByRole('table', { name: 'Tracks' }).locator('tbody').getByRole('row');
  }

  /** The row of the track with this title, or whose file has this name. */
  track(title: string): Locator {
    return this.tracks().filter({ has: this.page.getByRole('button', { name: `Remove “${title}”` }) });
  }

  /** Checks that the tracks are uploaded and can be played. */
  async expectPlayable(...titles: string[]) {
    for (const title of titles) await expect(this.track(title).getByRole('button', { name: `Play ${title}` })).toBeVisible();
  }

  /** The titles in the fields, in order. */
  titles(): Promise<string[]> {
    const fields = this.tracks().getByRole('textbox', { name: 'Title', exact: true });
    return fields.evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value));
  }

  async expectTitles(...titles: string[]) {
    await expect.poll(() => this.titles()).toEqual(titles);
  }

  /** Drops files anywhere on the page. */
  async drop(...files: Payload[]) {
    const sent = files.map(({ buffer, ...file }) => ({ ...file, base64: buffer.toString('base64') }));
    const transfer = await this.page.evaluateHandle((files) => {
      const transfer = new DataTransfer();
      for (const { name, mimeType, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: mimeType }));
      }
      return transfer;
    }, sent);
    await this.page.dispatchEvent('main', 'dragover', { dataTransfer: transfer });
    await this.page.dispatchEvent('main', 'drop', { dataTransfer: transfer });
  }

  // Submit

  submitButton() {
    return this.page.getByRole('button', { name: 'Submit for review' });
  }

  async submit() {
    await this.submitButton().click();
    await expect(this.page).toHaveURL(new RegExp(`/releases/${this.id}$`));
  }

  /** Fills in a small release, up to the last step. */
  async make(details: Details) {
    await this.fillDetails(details);
    await this.expectSaved();
    await this.go('Cover');
    await this.chooseCover('cover-small.png');
    await expect(this.coverStep().getByText('1000 × 1000 px', { exact: false }).first()).toBeVisible();
    await this.go('Tracks');
    await this.chooseTracks('song.flac');
    await this.expectTitles('Night Bus');
    await this.go('Review and submit');
    await expect(this.submitButton()).toBeEnabled();
  }
}

export const someDetails = (title: string): Details => ({
  title,
  genre: 'Electronic',
  language: 'English',
  date: '2027-01-22',
  line: '2026 Ana Lima',
});
