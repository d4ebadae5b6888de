export interface Account {
  readonly uid: number;
  readonly home: string;
}

/** The users of every qube. */
export const USERS: Readonly<Record<string, Account>> = {
  root: { uid: 0, home: '/root' },
  user: { uid: 1000, home: '/home/user' },
};
