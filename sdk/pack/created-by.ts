/** Written into manifests. A test keeps it equal to package.json. */
export const CREATED_BY = 'pocketmoe 0.1.0';
