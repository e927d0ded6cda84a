let code = ''

/** Keeps the bootstrap code out of the URL and the history, only for this page load. */
export const putCode = (c: string): void => {
  code = c
}
export const takeCode = (): string => code
