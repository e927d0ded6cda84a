import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Navigate,
  Outlet,
  useNavigate,
} from '@tanstack/react-router'
import { Compass } from 'lucide-react'
import { t } from '../i18n'
import { Blank, LoadError } from '../ui/Blank'
import { Button } from '../ui/Button'
import { Toasts } from '../ui/toast'
import { Shell } from './Shell'

// Search parameters come from a URL that anyone may have typed: take strings, drop the rest.
const text = (v: unknown): string | undefined =>
  typeof v === 'string' && v !== '' ? v : typeof v === 'number' ? String(v) : undefined
type Raw = Record<string, unknown>

const root = createRootRoute({
  component: () => (
    <>
      <Outlet />
      <Toasts />
    </>
  ),
  notFoundComponent: NotFound,
})

const shell = createRoute({ getParentRoute: () => root, id: 'shell', component: Shell })
const states = ['ready', 'applying', 'failed']

const routes = [
  shell.addChildren([
    createRoute({
      getParentRoute: () => shell,
      path: '/',
      component: () => <Navigate to={'/shares' as string} replace />,
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/shares',
      validateSearch: (s: Raw) => ({
        q: text(s.q),
        node: text(s.node),
        sort: text(s.sort),
        state: states.includes(String(s.state)) ? (s.state as 'ready' | 'applying' | 'failed') : undefined,
        new: s.new === true ? true : undefined,
      }),
      component: lazyRouteComponent(() => import('../features/share/ShareList'), 'ShareList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/shares/$uid',
      component: lazyRouteComponent(() => import('../features/share/SharePage'), 'SharePage'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/users',
      validateSearch: (s: Raw) => ({ q: text(s.q), sort: text(s.sort) }),
      component: lazyRouteComponent(() => import('../features/identity/UserList'), 'UserList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/groups',
      validateSearch: (s: Raw) => ({ q: text(s.q), sort: text(s.sort) }),
      component: lazyRouteComponent(() => import('../features/identity/GroupList'), 'GroupList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/nodes',
      component: lazyRouteComponent(() => import('../features/node/NodeList'), 'NodeList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/nodes/$uid',
      component: lazyRouteComponent(() => import('../features/node/NodePage'), 'NodePage'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/tasks',
      component: lazyRouteComponent(() => import('../features/task/TaskList'), 'TaskList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/audit',
      validateSearch: (s: Raw) => ({ q: text(s.q), kind: text(s.kind) }),
      component: lazyRouteComponent(() => import('../features/audit/AuditList'), 'AuditList'),
    }),
    createRoute({
      getParentRoute: () => shell,
      path: '/account',
      component: lazyRouteComponent(() => import('../features/auth/AccountPage'), 'AccountPage'),
    }),
  ]),
  createRoute({
    getParentRoute: () => root,
    path: '/login',
    validateSearch: (s: Raw) => ({ next: text(s.next) }),
    component: lazyRouteComponent(() => import('../features/auth/LoginPage'), 'LoginPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/setup',
    component: lazyRouteComponent(() => import('../features/auth/SetupPage'), 'SetupPage'),
  }),
]

export const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: 'intent',
  defaultNotFoundComponent: NotFound,
  defaultErrorComponent: ({ error, reset }) => (
    <div className="page">
      <LoadError page error={error} retry={reset} />
    </div>
  ),
})

function NotFound() {
  const navigate = useNavigate()
  return (
    <main className="gate">
      <Blank
        page
        icon={<Compass aria-hidden />}
        title={t.error.notFound}
        actions={<Button onPress={() => void navigate({ to: '/shares' as string })}>{t.share.toList}</Button>}
      />
    </main>
  )
}
