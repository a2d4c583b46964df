select 1; -- taken, not written yet
