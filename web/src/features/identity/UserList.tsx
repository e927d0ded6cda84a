import { useInfiniteQuery, useMutation } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Ban, CircleCheck, Ellipsis, KeyRound, Pencil, Plus, Search, Trash2, Upload, UserPlus } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import { newID } from '../../api/http'
import type { User } from '../../api/types'
import { t } from '../../i18n'
import { Blank, LoadError } from '../../ui/Blank'
import { Button, IconButton } from '../../ui/Button'
import { Confirm } from '../../ui/Confirm'
import { SearchField } from '../../ui/Field'
import { type Column, Grid } from '../../ui/Grid'
import { Menu, MenuItem } from '../../ui/Menu'
import { State } from '../../ui/State'
import { Time } from '../../ui/Time'
import { usePageTitle } from '../../ui/title'
import { toast, toastError } from '../../ui/toast'
import { deleteUser, type PeopleSearch, updateUser, usersQuery } from './api'
import { ImportUsers } from './ImportUsers'
import { PasswordForm, UserForm } from './UserForm'

type Open = { what: 'create' | 'import' } | { what: 'edit' | 'password' | 'delete'; user: User } | null

const stateOf = (u: User) => (!u.enabled ? 'disabled' : u.passwordSet ? 'enabled' : 'noPassword')

export function UserList() {
  usePageTitle(t.user.plural)
  const search = useSearch({ strict: false }) as PeopleSearch
  const navigate = useNavigate()
  const patch = (change: PeopleSearch) =>
    void navigate({ to: '/users', search: (old: object) => ({ ...old, ...change }), replace: true })
  const users = useInfiniteQuery(usersQuery(search))
  const [open, setOpen] = useState<Open>(null)
  const rows = useMemo(() => users.data?.pages.flatMap((p) => p.items) ?? [], [users.data])
  const total = users.data?.pages[0]?.total ?? rows.length
  const enable = useMutation({
    mutationFn: (u: User) => updateUser(u, { enabled: !u.enabled }, newID()),
    onSuccess: (u) => toast(u.enabled ? t.user.nowEnabled(u.name) : t.user.nowDisabled(u.name)),
    onError: toastError,
  })
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = users
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [hasNextPage, isFetchingNextPage, fetchNextPage])

  const toggle = enable.mutate
  const columns = useMemo<Column<User>[]>(
    () => [
      {
        id: 'name',
        header: t.user.name,
        width: 'minmax(150px, 1.4fr)',
        sortKey: 'name',
        render: (u) => (
          <div className="cell-main">
            <span className="name truncate">{u.name}</span>
            <span className="under drop truncate">{u.fullName || ' '}</span>
          </div>
        ),
      },
      { id: 'state', header: t.share.state, width: '136px', narrowWidth: '112px', render: (u) => <State of={stateOf(u)} /> },
      {
        id: 'groups',
        header: t.group.plural,
        width: 'minmax(120px, 1.6fr)',
        hide: 'narrow',
        render: (u) => <div className="truncate">{u.groups?.join(', ') || <span className="muted">—</span>}</div>,
      },
      {
        id: 'id',
        header: t.user.id,
        width: '90px',
        hide: 'medium',
        render: (u) => <span className="num muted">{u.id}</span>,
      },
      {
        id: 'changed',
        header: t.common.changed,
        width: '116px',
        hide: 'medium',
        sortKey: 'updatedAt',
        render: (u) => (
          <span className="muted">
            <Time at={u.updatedAt} />
          </span>
        ),
      },
      {
        id: 'actions',
        header: t.common.actions,
        hideHeader: true,
        width: 'var(--control)',
        end: true,
        render: (u) => (
          <Menu
            label={t.common.actionsFor(u.name)}
            trigger={<IconButton label={t.common.actionsFor(u.name)} icon={<Ellipsis aria-hidden />} />}
          >
            <MenuItem icon={<Pencil aria-hidden />} onAction={() => setOpen({ what: 'edit', user: u })}>
              {t.common.edit}
            </MenuItem>
            <MenuItem icon={<KeyRound aria-hidden />} onAction={() => setOpen({ what: 'password', user: u })}>
              {t.user.setPassword}
            </MenuItem>
            <MenuItem
              icon={u.enabled ? <Ban aria-hidden /> : <CircleCheck aria-hidden />}
              onAction={() => toggle(u)}
            >
              {u.enabled ? t.user.disable : t.user.enable}
            </MenuItem>
            <MenuItem icon={<Trash2 aria-hidden />} bad onAction={() => setOpen({ what: 'delete', user: u })}>
              {t.common.delete}
            </MenuItem>
          </Menu>
        ),
      },
    ],
    [toggle],
  )
  const close = () => setOpen(null)
  const createButton = (
    <Button look="primary" onPress={() => setOpen({ what: 'create' })}>
      <Plus aria-hidden /> {t.user.create}
    </Button>
  )
  const importButton = (
    <Button onPress={() => setOpen({ what: 'import' })}>
      <Upload aria-hidden /> {t.user.import}
    </Button>
  )
  return (
    <div className="page list">
      <div className="page-head">
        <div className="titles">
          <h1>{t.user.plural}</h1>
        </div>
        <div className="row">
          {importButton}
          {createButton}
        </div>
      </div>
      <div className="toolbar">
        <SearchField label={t.user.search} value={search.q ?? ''} onChange={(q) => patch({ q: q || undefined })} />
        {users.data && <span className="total num">{t.user.count(total)}</span>}
      </div>
      {users.isError && !users.data ? (
        <LoadError error={users.error} retry={() => void users.refetch()} />
      ) : (
        <Grid
          label={t.user.plural}
          columns={columns}
          rows={rows}
          total={total}
          rowKey={(u) => u.uid}
          loading={users.isPending}
          sort={search.sort ?? 'name'}
          onSort={(sort) => patch({ sort })}
          onEnd={more}
          blank={
            search.q ? (
              <Blank icon={<Search aria-hidden />} title={t.user.noneFound} />
            ) : (
              <Blank
                icon={<UserPlus aria-hidden />}
                title={t.user.none}
                actions={
                  <>
                    {importButton}
                    {createButton}
                  </>
                }
              >
                {t.user.noneHint}
              </Blank>
            )
          }
        />
      )}
      {open?.what === 'create' && <UserForm onClose={close} />}
      {open?.what === 'import' && <ImportUsers onClose={close} />}
      {open?.what === 'edit' && <UserForm user={open.user} onClose={close} />}
      {open?.what === 'password' && <PasswordForm user={open.user} onClose={close} />}
      {open?.what === 'delete' && (
        <Confirm
          title={t.user.deleteTitle(open.user.name)}
          action={t.user.deleteAction}
          typed={{ name: open.user.name, label: t.share.typeName(open.user.name) }}
          run={(force) => deleteUser(open.user, newID(), force)}
          inUse="user.in_use"
          onDone={() => toast(t.user.deleted(open.user.name))}
          onClose={close}
        >
          <p>{t.user.deleteText}</p>
        </Confirm>
      )}
    </div>
  )
}
