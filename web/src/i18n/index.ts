import { en } from './en'

/** All words of the console in one language. A new language is a file of this type. */
export type Catalogue = typeof en

export const t: Catalogue = en
/** BCP 47 tag for dates, numbers and plural rules. */
export const locale = 'en-GB'
