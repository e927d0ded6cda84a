import { useVirtualizer, defaultRangeExtractor, type Range } from '@tanstack/react-virtual'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { type CSSProperties, type KeyboardEvent, type ReactNode, useCallback, useEffect, useRef, useState } from 'react'
import { t } from '../i18n'
import { Skeleton } from './Blank'

export interface Column<T> {
  id: string
  header: string
  /** CSS grid track. */
  width: string
  /** The track on a phone. */
  narrowWidth?: string
  render: (row: T) => ReactNode
  sortKey?: string
  /** Leaves when the grid gets narrower than about 1000 or 760 px. */
  hide?: 'medium' | 'narrow'
  end?: boolean
  hideHeader?: boolean
}

export interface GridProps<T> {
  label: string
  columns: Column<T>[]
  rows: T[]
  total: number
  rowKey: (row: T) => string
  loading?: boolean
  sort?: string
  onSort?: (sort: string) => void
  onEnd?: () => void
  onOpen?: (row: T) => void
  blank?: ReactNode
  /** As high as its rows instead of as high as the page. */
  fit?: boolean
}

const hideClass = { medium: 'hide-medium', narrow: 'hide-narrow' }
const tracks = <T,>(cols: Column<T>[], narrow = false) =>
  cols.map((c, i) => (narrow ? (c.narrowWidth ?? (i === 0 ? 'minmax(0, 1fr)' : c.width)) : c.width)).join(' ')

/** Row height in px, from the density token. */
function rowHeight(): number {
  const rem = parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--row'))
  return Number.isFinite(rem) ? rem : 52
}

/**
 * The list of every page: a virtualised ARIA grid. One tab stop; arrows, Home, End, Page Up and Down move; Enter opens.
 * Only rows in sight are in the document, so ten thousand cost no more than twenty.
 */
export function Grid<T>(p: GridProps<T>) {
  const scroller = useRef<HTMLDivElement>(null)
  const [active, setActive] = useState({ row: 0, col: 0 })
  const wantFocus = useRef(false)
  const height = useRowHeight()

  const rangeExtractor = useCallback(
    (range: Range) => {
      const seen = defaultRangeExtractor(range)
      // The row that holds the focus stays, or the focus would fall to the body when it scrolls away.
      const last = p.rows.length - 1
      const keep = Math.min(active.row, last)
      if (keep >= 0 && !seen.includes(keep)) return [...seen, keep].sort((a, b) => a - b)
      return seen
    },
    [active.row, p.rows.length],
  )
  const virtual = useVirtualizer({
    count: p.rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    getItemKey: (i) => (p.rows[i] ? p.rowKey(p.rows[i]) : i),
    overscan: 12,
    rangeExtractor,
    scrollPaddingStart: 40,
  })
  useEffect(() => virtual.measure(), [height, virtual])

  const items = virtual.getVirtualItems()
  const lastSeen = items.at(-1)?.index ?? 0
  const { onEnd } = p
  useEffect(() => {
    if (onEnd && p.rows.length > 0 && lastSeen >= p.rows.length - 25) onEnd()
  }, [lastSeen, p.rows.length, onEnd])

  useEffect(() => {
    if (!wantFocus.current) return
    wantFocus.current = false
    focusCell(scroller.current, active.row, active.col)
  })

  const onKeyDown = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey) return
    const cell = (e.target as HTMLElement).closest<HTMLElement>('[data-col]')
    if (!cell || (e.target as HTMLElement).closest('[role=menu]')) return
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? height) / height) - 2)
    const rows = p.rows.length
    const cols = p.columns.length
    let { row, col } = active
    if (e.key === 'ArrowDown') row++
    else if (e.key === 'ArrowUp') row--
    else if (e.key === 'PageDown') row += page
    else if (e.key === 'PageUp') row -= page
    else if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') {
      const step = e.key === 'ArrowRight' ? 1 : -1
      do col += step
      while (col >= 0 && col < cols && !visible(scroller.current, row, col))
    } else if (e.key === 'Home') {
      col = 0
      row = 0
    } else if (e.key === 'End') {
      row = rows - 1
    } else if (e.key === 'Enter' && e.target === cell && p.onOpen) {
      const r = p.rows[row]
      if (r) p.onOpen(r)
      e.preventDefault()
      return
    } else return
    e.preventDefault()
    row = Math.max(0, Math.min(rows - 1, row))
    if (col < 0 || col >= cols) return
    virtual.scrollToIndex(row)
    wantFocus.current = true
    setActive({ row, col })
  }

  const narrow = p.columns.filter((c) => !c.hide)
  const medium = p.columns.filter((c) => c.hide !== 'medium')
  const style = { '--cols': tracks(p.columns), '--cols-medium': tracks(medium), '--cols-narrow': tracks(narrow, true) }
  const showBlank = !p.loading && p.rows.length === 0

  return (
    <div className={p.fit ? 'grid-wrap fit' : 'grid-wrap'} style={style as CSSProperties}>
      {showBlank ? (
        p.blank
      ) : (
        <div
          className="grid"
          role="grid"
          aria-label={p.label}
          aria-rowcount={p.total + 1}
          aria-colcount={p.columns.length}
          aria-busy={p.loading}
          ref={scroller}
          onKeyDown={onKeyDown}
        >
          <div className="grid-head" role="row" aria-rowindex={1}>
            {p.columns.map((c) => (
              <Header key={c.id} column={c} sort={p.sort} onSort={p.onSort} />
            ))}
          </div>
          {p.loading ? (
            <SkeletonRows columns={p.columns} />
          ) : (
            <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize() }}>
              {items.map((v) => {
                const row = p.rows[v.index]
                if (!row) return null
                return (
                  <div
                    key={v.key}
                    className="grid-row"
                    role="row"
                    aria-rowindex={v.index + 2}
                    data-row={v.index}
                    style={{ transform: `translateY(${v.start}px)` }}
                  >
                    {p.columns.map((c, i) => (
                      <Cell
                        key={c.id}
                        className={[c.hide && hideClass[c.hide], c.end && 'cell-end'].filter(Boolean).join(' ')}
                        col={i}
                        active={v.index === Math.min(active.row, p.rows.length - 1) && i === active.col}
                        onActive={() => setActive({ row: v.index, col: i })}
                      >
                        {c.render(row)}
                      </Cell>
                    ))}
                  </div>
                )
              })}
            </div>
          )}
        </div>
      )}
    </div>
  )
}

function Header<T>({ column: c, sort, onSort }: { column: Column<T>; sort?: string; onSort?: (s: string) => void }) {
  const dir = c.sortKey && sort === c.sortKey ? 'ascending' : c.sortKey && sort === '-' + c.sortKey ? 'descending' : undefined
  return (
    <div
      role="columnheader"
      aria-sort={c.sortKey ? (dir ?? 'none') : undefined}
      className={[c.hide && hideClass[c.hide], c.end && 'cell-end'].filter(Boolean).join(' ')}
    >
      {c.sortKey && onSort ? (
        <button type="button" onClick={() => onSort(dir === 'ascending' ? '-' + c.sortKey : c.sortKey!)}>
          {c.header}
          {dir === 'ascending' && <ArrowUp aria-hidden />}
          {dir === 'descending' && <ArrowDown aria-hidden />}
        </button>
      ) : (
        <span className={c.hideHeader ? 'sr-only' : undefined}>{c.header}</span>
      )}
    </div>
  )
}

function Cell(p: { className: string; col: number; active: boolean; onActive: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDivElement>(null)
  // A cell with a link or a button hands its place in the tab order to it.
  useEffect(() => {
    const inner = ref.current?.querySelector<HTMLElement>('a[href],button')
    if (inner) inner.tabIndex = p.active ? 0 : -1
    if (ref.current) ref.current.tabIndex = p.active && !inner ? 0 : -1
  })
  return (
    <div role="gridcell" ref={ref} className={p.className || undefined} data-col={p.col} tabIndex={-1} onFocus={p.onActive}>
      {p.children}
    </div>
  )
}

function SkeletonRows<T>({ columns }: { columns: Column<T>[] }) {
  return (
    <div role="rowgroup">
      <div role="row" className="sr-only">
        <div role="gridcell">{t.common.loading}</div>
      </div>
      {Array.from({ length: 7 }, (_, i) => (
        <div key={i} role="row" className="skeleton-row" aria-hidden>
          {columns.map((c, j) => (
            <div key={c.id} role="gridcell" className={c.hide && hideClass[c.hide]}>
              {!c.hideHeader && <Skeleton width={['46%', '62%', '54%', '70%'][(i + j) % 4]!} />}
            </div>
          ))}
        </div>
      ))}
    </div>
  )
}

const cellAt = (root: HTMLElement | null, row: number, col: number) =>
  root?.querySelector<HTMLElement>(`[data-row="${row}"] > [data-col="${col}"]`)

function visible(root: HTMLElement | null, row: number, col: number): boolean {
  return Boolean(cellAt(root, row, col)?.offsetParent)
}

function focusCell(root: HTMLElement | null, row: number, col: number, tries = 12) {
  const cell = cellAt(root, row, col)
  if (!cell) {
    // The row comes into the document with the scroll, one frame later.
    if (tries > 0) requestAnimationFrame(() => focusCell(root, row, col, tries - 1))
    return
  }
  const target = cell.querySelector<HTMLElement>('a[href],button') ?? cell
  target.focus({ preventScroll: true })
}

function useRowHeight(): number {
  const [h, setH] = useState(rowHeight)
  useEffect(() => {
    const update = () => setH(rowHeight())
    update()
    const watch = new MutationObserver(update)
    watch.observe(document.documentElement, { attributeFilter: ['data-density'] })
    return () => watch.disconnect()
  }, [])
  return h
}
