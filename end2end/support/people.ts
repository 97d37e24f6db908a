import { randomBytes } from 'node:crypto';

export const ADMINS = ['ada@vwaza.example', 'grace@vwaza.example'];
export const ADMIN_PASSWORD = 'a quiet room to listen in';

export type Artist = { name: string; email: string; password: string };

/** Short and new: tests run side by side in one database. */
export const unique = () => randomBytes(3).toString('hex');

export function newArtist(name = 'Ana Lima'): Artist {
  const tag = unique();
  return { name: `${name} ${tag}`, email: `artist-${tag}@vwaza.example`, password: 'three words and a comma' };
}
