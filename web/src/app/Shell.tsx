import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router'
import {
  CircleCheck,
  CircleUser,
  CloudOff,
  FolderOpen,
  ListChecks,
  LogOut,
  Menu as MenuIcon,
  Palette,
  ScrollText,
  Server,
  User,
  Users,
} from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { UnreachableError } from '../api/problem'
import { logout, meQuery } from '../features/auth/api'
import { t } from '../i18n'
import { LoadError } from '../ui/Blank'
import { Button, IconButton } from '../ui/Button'
import { announce } from '../ui/announce'
import { Menu, MenuItem } from '../ui/Menu'
import { toastError } from '../ui/toast'
import { AppearanceMenu } from './AppearanceMenu'
import { retryLink, startLive, useLink } from './connection'
import { queryClient } from './queries'

type Item = { to: string; label: string; icon: ReactNode }

const sections: { title: string; items: Item[] }[] = [
  {
    title: t.nav.storage,
    items: [
      { to: '/shares', label: t.share.plural, icon: <FolderOpen aria-hidden /> },
      { to: '/nodes', label: t.node.plural, icon: <Server aria-hidden /> },
    ],
  },
  {
    title: t.nav.people,
    items: [
      { to: '/users', label: t.user.plural, icon: <User aria-hidden /> },
      { to: '/groups', label: t.group.plural, icon: <Users aria-hidden /> },
    ],
  },
  {
    title: t.nav.activity,
    items: [
      { to: '/tasks', label: t.task.plural, icon: <ListChecks aria-hidden /> },
      { to: '/audit', label: t.audit.title, icon: <ScrollText aria-hidden /> },
    ],
  },
]

/** The frame of every page after login. */
export function Shell() {
  const me = useQuery(meQuery)
  const navigate = useNavigate()
  const location = useLocation()
  const loggedIn = Boolean(me.data)

  useEffect(() => (loggedIn ? startLive() : undefined), [loggedIn])
  useEffect(() => {
    if (me.data !== null) return
    // What the last person saw is not for the next one.
    queryClient.removeQueries({ predicate: (q) => q.queryKey[0] !== 'me' && q.queryKey[0] !== 'status' })
    const here = window.location.pathname + window.location.search
    void navigate({ to: '/login', search: here === '/' || here === '/shares' ? {} : { next: here }, replace: true })
  }, [me.data, navigate])

  const [nav, setNav] = useState(false)
  const main = useRef<HTMLElement>(null)
  const path = location.pathname
  const first = useRef(true)
  useEffect(() => {
    setNav(false)
    // A new page begins at its top, for the eye and for the screen reader.
    if (first.current) first.current = false
    else main.current?.focus({ preventScroll: true })
    main.current?.scrollTo(0, 0)
  }, [path])
  useEffect(() => {
    if (!nav) return
    const onKey = (e: KeyboardEvent) => e.key === 'Escape' && setNav(false)
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [nav])

  if (me.isError && me.data === undefined)
    return (
      <main className="gate">
        <LoadError page error={me.error} retry={() => void me.refetch()} />
        {me.error instanceof UnreachableError && <KeepTrying run={() => void me.refetch()} />}
      </main>
    )
  if (!me.data) return <div role="status" aria-label={t.common.loading} />

  return (
    <div className="shell">
      <a href="#main" className="btn skip">
        {t.nav.skip}
      </a>
      <div className="topbar">
        <IconButton
          label={t.nav.open}
          aria-expanded={nav}
          icon={<MenuIcon aria-hidden />}
          onPress={() => setNav(true)}
        />
        <Link to="/shares" className="brand">
          <img src="/favicon.svg" alt="" /> {t.product}
        </Link>
      </div>
      <button type="button" className={nav ? 'scrim-nav open' : 'scrim-nav'} aria-label={t.nav.close} onClick={() => setNav(false)} />
      <nav className={nav ? 'sidebar open' : 'sidebar'} aria-label={t.nav.label}>
        <Link to="/shares" className="brand">
          <img src="/favicon.svg" alt="" /> {t.product}
        </Link>
        <div className="nav">
          {sections.map((s) => (
            <section key={s.title}>
              <h2>{s.title}</h2>
              <ul>
                {s.items.map((i) => (
                  <li key={i.to}>
                    <Link to={i.to} activeProps={{ className: 'active' }} onClick={() => setNav(false)}>
                      {i.icon}
                      {i.label}
                    </Link>
                  </li>
                ))}
              </ul>
            </section>
          ))}
        </div>
        <div className="side-foot">
          <LinkState />
          <AppearanceMenu
            trigger={
              <Button look="quiet">
                <Palette aria-hidden /> {t.appearance.title}
              </Button>
            }
          />
          <Menu
            label={t.account.title}
            placement="top start"
            trigger={
              <Button look="quiet">
                <CircleUser aria-hidden /> <span className="truncate">{me.data.name}</span>
              </Button>
            }
          >
            <MenuItem icon={<CircleUser aria-hidden />} onAction={() => void navigate({ to: '/account' })}>
              {t.account.title}
            </MenuItem>
            <MenuItem
              icon={<LogOut aria-hidden />}
              onAction={() => void logout().then(() => queryClient.setQueryData(['me'], null), toastError)}
            >
              {t.auth.logout}
            </MenuItem>
          </Menu>
        </div>
      </nav>
      <OfflineBanner />
      <main id="main" className="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  )
}

function KeepTrying({ run }: { run: () => void }) {
  useEffect(() => {
    const timer = setInterval(run, 3000)
    return () => clearInterval(timer)
  }, [run])
  return null
}

function LinkState() {
  const link = useLink()
  return (
    <div className="link-state">
      {link === 'online' ? (
        <CircleCheck size={17} aria-hidden className="good-text" />
      ) : (
        <CloudOff size={17} aria-hidden className="busy-text" />
      )}
      {link === 'online' ? t.link.online : link === 'offline' ? t.link.offline : t.link.connecting}
    </div>
  )
}

function OfflineBanner() {
  const link = useLink()
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (link !== 'offline') {
      setShown((was) => {
        if (was) announce(t.link.back)
        return false
      })
      return
    }
    // A blink of the connection is no news.
    const timer = setTimeout(() => setShown(true), 900)
    return () => clearTimeout(timer)
  }, [link])
  if (!shown) return null
  return (
    <div className="banner" role="alert">
      <CloudOff aria-hidden />
      <span className="grow">{t.link.banner}</span>
      <Button size="sm" onPress={retryLink}>
        {t.link.retry}
      </Button>
    </div>
  )
}
