import { randomBytes } from 'node:crypto';

export const ADMINS = ['ada@vwaza.example', 'grace@vwaza.example'];
export const ADMIN_PASSWORD = 'a quiet room to listen in';

export type Artist = { name: string; email: string; password: string };

/** A short text that is different on every call, because tests run in parallel on one database. */
export const unique = () => randomBytes(3).toString('hex');

export function newArtist(name = 'Ana Lima'): Artist {
  const tag = unique();
  return { name: `${name} ${tag}`, email: `artist-${tag}@vwaza.example`, password: 'three words and a comma' };
}
