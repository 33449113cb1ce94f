-- No table changes. The functions change: `revoke`, `revoke_all` and `raise` wait for the replicas also if another call
-- has done the work already, and the others use an index at any size. They are made again, because this is a new version.

SELECT 1;
