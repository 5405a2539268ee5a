/// <reference types="node" />
import { IncomingMessage, ServerResponse } from 'http';

/** '500ms', '30s', '15m', '24h', '7d', or milliseconds. */
export type Duration = string | number;

export interface ClientOptions {
  /** The control listener; 'http://127.0.0.1:8081' by default. */
  url?: string;
  /** Bearer token, if oncegate runs with --control-token-file. */
  token?: string;
  /** For one attempt of a call, its wait not counted; '2s' by default. A call has three attempts. */
  timeout?: Duration;
  /** Certificates to trust for https, PEM. */
  ca?: string | Buffer | Array<string | Buffer>;
}

export interface ClaimWish {
  key: string;
  scope?: string;
  /** A repeated claim with the same id gets the same token; random by default. */
  claimId?: string;
  fingerprint?: string;
  type?: string;
  ttl?: Duration;
  lease?: Duration;
  /** How long to wait for somebody else's outcome. */
  wait?: Duration;
  onLeaseExpiry?: 'hold' | 'rerun';
  labels?: Record<string, string>;
}

export interface StoredResponse {
  status: number;
  headers: Array<[name: string, value: string]>;
  /** null: not kept. */
  body: Buffer | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  retryable: boolean;
}

export type Claimed =
  | {
      outcome: 'execute';
      token: string;
      attempt: number;
      leaseExpiresAt: string;
      possibleDuplicate?: string;
    }
  | { outcome: 'replay'; response: StoredResponse }
  | {
      outcome: 'in-flight' | 'outcome-unknown' | 'key-reused' | 'invalid-key' | 'missing-key';
      problem: Problem;
      retryAfter?: string;
    };

export class OncegateError extends Error {
  constructor(message: string, about?: { code?: string; status?: number; sent?: boolean; held?: boolean; cause?: unknown });
  /** oncegate's code, or 'unreachable'. */
  readonly code: string;
  readonly status?: number;
  /** Whether oncegate may have acted on the call all the same. */
  readonly sent: boolean;
  /** A restored store refuses keys that it does not know. */
  readonly held: boolean;
  readonly retryable: boolean;
}

/** The sidecar API. All calls may be repeated, and are if the connection fails. */
export class Client {
  constructor(options?: ClientOptions);
  claim(wish: ClaimWish): Promise<Claimed>;
  complete(
    token: string,
    outcome: { status: number; headers?: Array<[string, string]>; body?: string | Uint8Array | null },
  ): Promise<void>;
  renew(token: string, lease?: Duration): Promise<{ leaseExpiresAt: string }>;
  release(token: string): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}

export interface Keyed {
  key: string;
  scope?: string;
  outcome: 'executed' | 'unprotected';
  /** Above 1: an earlier attempt's outcome is unknown. */
  attempt: number;
  /** 'restored': the store may have forgotten that the key was executed. */
  possibleDuplicate?: string;
}

export interface Request extends IncomingMessage {
  originalUrl?: string;
  body?: any;
  rawBody?: string | Uint8Array;
  oncegate?: Keyed;
}

export interface Options extends ClientOptions {
  /** Instead of url, token, timeout and ca. */
  client?: Client;
  scope?: string | ((req: any) => string | undefined);
  type?: string | ((req: any) => string | undefined);
  labels?: Record<string, string> | ((req: any) => Record<string, string> | undefined);
  ttl?: Duration;
  lease?: Duration;
  maxRun?: Duration;
  wait?: Duration;
  key?: (req: any) => string | undefined;
  keyHeader?: string | string[];
  methods?: string[];
  fingerprint?: false | ((req: any) => string | undefined);
  isFinal?: (status: number, req: any, res: any) => boolean;
  onMissingKey?: 'pass' | 'reject';
  onUnavailable?: 'closed' | 'open';
  onLeaseExpiry?: 'hold' | 'rerun';
  busyStatus?: number;
  maxStoredBody?: number;
  onError?: (error: Error & { code?: string }, about: { key: string; scope: string }) => void;
}

export interface Middleware {
  (req: Request, res: ServerResponse, next: (error?: any) => void): void;
  readonly client: Client;
}

/** Express middleware; works wherever (req, res, next) does. */
export function idempotency(options?: Options): Middleware;
