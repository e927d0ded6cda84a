/** Only a path of our own may be the goal after login, or a link could send people elsewhere. */
export const safeNext = (next: string | undefined): string =>
  next && /^\/(?![/\\])/.test(next) && !next.startsWith('/login') ? next : '/shares'
