import { CircleAlert, RotateCcw } from 'lucide-react'
import type { ReactNode } from 'react'
import { ProblemError, UnreachableError } from '../api/problem'
import { t } from '../i18n'
import { Button } from './Button'

/** What a page shows when there is nothing: why, and what to do. With `page`, its heading is the page's. */
export function Blank(p: { icon: ReactNode; title: string; children?: ReactNode; actions?: ReactNode; page?: boolean }) {
  const Heading = p.page ? 'h1' : 'h2'
  return (
    <div className="blank">
      <span className="mark">{p.icon}</span>
      <Heading>{p.title}</Heading>
      {p.children && <p>{p.children}</p>}
      {p.actions && <div className="row">{p.actions}</div>}
    </div>
  )
}

/** The text and request ID of any error. */
export function describe(err: unknown): { text: string; id?: string } {
  if (err instanceof ProblemError) return { text: err.message, id: err.requestID }
  if (err instanceof UnreachableError) return { text: t.error.unreachable, id: err.requestID }
  return { text: err instanceof Error ? err.message : String(err) }
}

/** A page that could not be loaded. */
/** With `page`, its heading is the page's. */
export function LoadError({ error, retry, page }: { error: unknown; retry?: () => void; page?: boolean }) {
  const Heading = page ? 'h1' : 'h2'
  const { text, id } = describe(error)
  return (
    <div className="blank bad" role="alert">
      <span className="mark">
        <CircleAlert aria-hidden />
      </span>
      <Heading>{t.error.loadTitle}</Heading>
      <p>{text}</p>
      {id && <p className="small mono">{t.error.requestID(id)}</p>}
      {retry && (
        <div className="row">
          <Button onPress={retry}>
            <RotateCcw aria-hidden /> {t.common.retry}
          </Button>
        </div>
      )}
    </div>
  )
}

/** An error inside a form or card. */
export function ErrorNotice({ error, extra }: { error: unknown; extra?: string[] }) {
  if (!error) return null
  const { text, id } = describe(error)
  return (
    <div className="notice bad" role="alert">
      <CircleAlert aria-hidden />
      <div className="grow wrap">
        <div>{text}</div>
        {extra?.map((e) => <div key={e}>{e}</div>)}
        {id && <div className="id mono">{t.error.requestID(id)}</div>}
      </div>
    </div>
  )
}

export function Skeleton({ width = '100%' }: { width?: string }) {
  return <span className="skel" style={{ width }} />
}

/** Lines that stand for a card's content while it loads. */
export function SkeletonLines({ lines = 4 }: { lines?: number }) {
  const widths = ['72%', '54%', '83%', '41%', '66%']
  return (
    <div className="stack" role="status" aria-label={t.common.loading}>
      {Array.from({ length: lines }, (_, i) => (
        <Skeleton key={i} width={widths[i % widths.length]} />
      ))}
    </div>
  )
}
